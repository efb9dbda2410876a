"""Where the repository lives: pyproject.toml says it, and whatever else names the address follows.

python book/repository.py                                    prints the address, and fails while there is none
python book/repository.py https://github.com/you/pairloss    writes that address everywhere
"""

import os
import re
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parent.parent
EXAMPLE = "https://github.com/you/pairloss"
ADDRESS = re.compile(r"https://github\.com/[A-Za-z0-9-]+/[\w.-]+(?<!\.git)")
# What stands in parentheses until there is a home.
UNTIL = re.compile(rb"\s*\([^()]*`YOUR_ORG`[^()]*\)")


def files() -> Iterator[Path]:
    """Every file of the project, with git or without it: those in no folder that .gitignore names."""
    ignored = [".git", *(ROOT / ".gitignore").read_text("utf-8").replace("/", "").split()]
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in sorted(folders) if not any(fnmatch(name, one) for one in ignored)]
        # An editor's lock may be a link to nothing.
        yield from (path for name in sorted(names) if (path := Path(folder, name)).is_file())


def main(url: str = "") -> None:
    """Print the address, or change it."""
    (old,) = re.findall(r'^Repository = "(.*)"$', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    if not url and "YOUR_ORG" in old:
        sys.exit(f"The repository has no address yet, and is not published without: make repository URL={EXAMPLE}")
    if url and not ADDRESS.fullmatch(url):
        sys.exit(f"URL was {url}; expected the like of {EXAMPLE}")
    if url == old:
        sys.exit(f"The address is {url} already: nothing was changed")
    if not url:
        print(old)
        return
    mention = re.compile(re.escape(old).encode() + rb"(?![\w-])")
    for path in files():
        text = path.read_bytes()
        changed = UNTIL.sub(b"", mention.sub(url.encode(), text))
        if changed != text:
            path.write_bytes(changed)
            print(f"changed {path.relative_to(ROOT).as_posix()}")


if __name__ == "__main__":
    main(*filter(None, sys.argv[1:]))
