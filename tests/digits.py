"""Re-run the chapters as other machines would, and count the cells whose output differs from the stored one.

python tests/digits.py 20                   every chapter twenty times
python tests/digits.py 5 lists softly       these five times

Each time has its own threads, vector units, locale, time zone, working directory and order of chapters.
"""

import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from itertools import cycle, islice
from pathlib import Path

ROOT = Path(__file__).parent.parent
CHAPTERS = sorted(path.stem for path in (ROOT / "book/chapters").glob("*.ipynb"))
NATIVE = None  # what torch finds
SETTINGS = (2, NATIVE), (1, "default"), (1, "avx2"), (2, "default"), (2, "avx2"), (1, NATIVE)
PLACES = (("C", "Pacific/Kiritimati"), ("C.UTF-8", "America/St_Johns"), ("tr_TR.UTF-8", "Asia/Kathmandu"))
NBVAL = "-m pytest --nbval --nbval-current-env -p no:cacheprovider -q -r fE --color no".split()


def run(chapters, threads, units, locale, zone, folder):
    """What pytest says of these chapters, in this order, in that folder."""
    for name in ("conftest.py", *(f"chapters/{chapter}.ipynb" for chapter in chapters)):
        shutil.copy(ROOT / "book" / name, folder)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LC_")}
    environment |= {"OMP_NUM_THREADS": str(threads), "LC_ALL": locale, "TZ": zone, "PYTHONPATH": str(ROOT)}
    environment |= {} if units is NATIVE else {"ATEN_CPU_CAPABILITY": units}
    workers = ["--numprocesses", str(max(1, (os.cpu_count() or 1) // threads)), "--no-loadscope-reorder"]
    command = [sys.executable, *NBVAL, *workers, "-c", ROOT / "pyproject.toml", "--rootdir", folder]
    notebooks = [f"{folder}/{chapter}.ipynb" for chapter in chapters]
    return subprocess.run([*command, *notebooks], cwd=folder, env=environment, capture_output=True, text=True)


def main(repeat="3", *chapters):
    """Run all, print a line for each time, and fail if a cell differed."""
    if unknown := {*chapters} - {*CHAPTERS}:
        sys.exit(f"There is no chapter {unknown.pop()}; expected one of {', '.join(CHAPTERS)}")
    runs, same, different = 0, 0, Counter()
    for number, (threads, units) in enumerate(islice(cycle(SETTINGS), int(repeat)), 1):
        locale, zone = random.choice(PLACES)
        order = random.sample(list(chapters or CHAPTERS), len(chapters or CHAPTERS))
        with tempfile.TemporaryDirectory(prefix="another place ") as folder:
            begun = time.monotonic()
            done = run(order, threads, units, locale, zone, folder)
        passed = int((re.findall(r"(\d+) passed", done.stdout) or [0])[-1])
        wrong = re.findall(r"^(?:FAILED|ERROR) \S*?(\w+\.ipynb::Cell \d+)", done.stdout, re.MULTILINE)
        print(
            f"{number}: {threads} threads, {units or 'native'}, {locale}, {zone}, {' '.join(order)}:"
            f" {passed} cells alike, {len(wrong)} differ, {time.monotonic() - begun:.0f} s",
            flush=True,
        )
        if done.returncode:
            print(done.stdout[-6000:], done.stderr[-2000:])
            different.update(wrong or ["no cell ran"])
        runs, same = runs + len(order), same + passed
    print(f"{runs} runs of a chapter, {same} cells alike, {different.total()} differ: {dict(different) or 'none'}")
    sys.exit(different.total() > 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
