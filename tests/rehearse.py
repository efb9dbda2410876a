"""Try the repository as strangers will: unpacked in odd places, under odd settings, after what goes wrong.

python tests/rehearse.py              every case; a whole run of tests, chapters and book among them
python tests/rehearse.py home zone    these
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from book import repository

ROOT = Path(__file__).parent.parent
# The quickest that shows whether book, tests, kernels and an install work.
QUICK = """make book && .venv/bin/pytest --quiet --color no --cache-clear --numprocesses 2 --nbval --nbval-current-env \
  tests/test_book.py tests/test_package.py tests/test_colab.py book/chapters/standard_losses.ipynb"""
IMPORTS = ".venv/bin/python -c 'import jupyter_book, matplotlib, nbval, pairloss'"


def unpack(folder):
    """What a download of these files gives: no .git, and for those who call git none either."""
    if folder.exists():
        return
    archive = folder.with_suffix(".zip")
    with zipfile.ZipFile(archive, "w") as files:
        for path in repository.files():
            files.write(path, path.relative_to(ROOT))
    shutil.unpack_archive(archive, folder)
    (folder.parent / "git").write_text("#!/bin/sh\necho git is not here >&2; exit 127\n")
    (folder.parent / "git").chmod(0o755)


def clone(folder):
    """What is committed, or the download where nothing is."""
    if not folder.exists():
        if (ROOT / ".git").exists():
            subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
        else:
            unpack(folder)


def break_off(folder):
    """Kill an install, and all that it started, once it puts torch in its place."""
    clone(folder)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    install = subprocess.Popen(["make", "test"], cwd=folder, env=environment(), start_new_session=True, **quiet)
    while install.poll() is None and not [*folder.glob(".venv/lib/*/site-packages/torch")]:
        time.sleep(0.1)
    os.killpg(install.pid, signal.SIGKILL)
    install.wait()
    if (folder / ".venv/ready").exists():
        sys.exit("The install was not broken off: it was there already, or too quick")


def environment(**changes):
    """That of a person who just opened a shell."""
    ours = ("MAKE", "MFLAGS", "PYTHON", "PYTEST", "VIRTUAL_ENV", "OMP_", "LC_", "GIT_", "CI")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)} | changes


def cases(folder):
    """Each case: what is tried, where, how it gets there, the command, and the settings."""
    odd, other = folder / "Bücher und Verluste", folder / "clone"
    whole, no_git = "make test book", {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    again = f"make .venv/ready && {IMPORTS}"
    side_by_side = "make -j4 lint book dist && ls _build/html/index.html dist/*.whl"
    move = f"make .venv/ready; cd ..; mv clone moved; cd moved; umask 077; {QUICK}"
    return {
        "zip": ("no .git, no git, a space, an umlaut", odd, unpack, whole, no_git),
        "locale": ("LC_ALL=C", odd, unpack, QUICK, {"LC_ALL": "C"}),
        "zone": ("another time zone", odd, unpack, QUICK, {"TZ": "Pacific/Kiritimati"}),
        "home": ("a home that cannot be written", odd, unpack, QUICK, {"HOME": "/dev/null/home"}),
        "install": ("an install that broke off", other, break_off, again, {}),
        "jobs": ("-j4", other, clone, side_by_side, {}),
        "moved": ("a folder that was moved, umask 077", other, clone, move, {}),
    }


def main(*chosen):
    """Run the cases, a line for each."""
    failed = []
    with tempfile.TemporaryDirectory() as temporary:
        every = cases(Path(temporary))
        if unknown := {*chosen} - {*every}:
            sys.exit(f"There is no case {unknown.pop()}; expected one of {', '.join(every)}")
        for name in chosen or every:
            what, where, prepare, command, settings = every[name]
            begun = time.monotonic()
            prepare(where)
            run = ["bash", "-ec", command]
            done = subprocess.run(run, cwd=where, env=environment(**settings), capture_output=True, text=True)
            failed += [name] if done.returncode else []
            took = f"{time.monotonic() - begun:6.0f} s"
            print(f"{'FAILED' if done.returncode else 'passed'} {took}  {name}: {what}", flush=True)
            if done.returncode:
                print(*(done.stdout + done.stderr).splitlines()[-40:], sep="\n", flush=True)
    print(f"{len(chosen or every) - len(failed)} passed, {len(failed)} failed")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main(*sys.argv[1:])
