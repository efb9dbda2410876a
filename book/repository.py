"""Where the repository lives: prints the address, or writes another one wherever it stands (make repository URL=…)."""

import os
import re
import sys
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parent.parent


def files() -> list[Path]:
    """Every file of the project, with git or without it: those in no folder that .gitignore names."""
    ignored = [".git", *(ROOT / ".gitignore").read_text("utf-8").replace("/", "").split()]
    found = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in sorted(folders) if not any(fnmatch(name, one) for one in ignored)]
        found += [path for name in sorted(names) if (path := Path(folder, name)).is_file()]
    return found


if __name__ == "__main__":
    url = sys.argv[1:]
    (old,) = re.findall(r'^Repository = "(.*)"', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    if not url and "YOUR_ORG" in old:
        sys.exit("The repository has no address yet: make repository URL=https://github.com/you/pairloss")
    if url and not re.fullmatch(r"https://github\.com/[\w-]+/[\w.-]+(?<!\.git)", url[0]):
        sys.exit(f"URL was {url[0]}; expected the like of https://github.com/you/pairloss")
    for path in files() if url else []:
        text = path.read_bytes()
        moved = re.sub(re.escape(old).encode() + rb"(?![\w-])", url[0].encode(), text)
        path.write_bytes(re.sub(rb"\s*\([^()]*`YOUR_ORG`[^()]*\)", b"", moved))  # what stands there until it has one
    print(*url or [old])
