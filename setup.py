"""The README as an index of packages shows it: an index has no files of ours, so its links get full addresses."""

import re
from pathlib import Path

from setuptools import setup

HERE = Path(__file__).parent
URL = re.search(r'^Repository = "(.*)"$', (HERE / "pyproject.toml").read_text("utf-8"), re.MULTILINE).group(1)


def full(link: re.Match) -> str:
    """A link to a file here, or a picture of it, as one to the repository."""
    picture, text, path = link.groups()
    return f"{picture}[{text}]({URL}/{'raw' if picture else 'blob'}/main/{path})"


readme = re.sub(r"(!?)\[([^\]]*)\]\((?!https?:)([^)]*)\)", full, (HERE / "README.md").read_text("utf-8"))
setup(long_description=readme, long_description_content_type="text/markdown")
