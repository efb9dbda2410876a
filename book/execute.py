"""Execute chapters: from each NAME.md write NAME.ipynb, with outputs and nothing about this machine.

python book/execute.py                     every chapter
python book/execute.py standard_losses     that one
"""

import base64
import os
import sys
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

from pairloss.figures import Figure

CHAPTERS = Path(__file__).parent / "chapters"


def execute(source: Path) -> None:
    os.environ["TQDM_DISABLE"] = "1"  # a progress bar is for those who wait, and is not stored
    notebook = jupytext.read(source)
    NotebookClient(notebook, record_timing=False, coalesce_streams=True, timeout=600).execute(cwd=source.parent)
    notebook.metadata = {key: notebook.metadata[key] for key in ("accelerator", "kernelspec")}
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
        for output in cell.get("outputs", []):
            if output.output_type == "error":  # an exercise that waits for its answer: what is wrong, not where
                output.traceback = output.traceback[-1:]
    nbformat.write(notebook, source.with_suffix(".ipynb"))
    if source.stem == "standard_losses":
        (CHAPTERS.parent / "picture.html").write_text(Figure("pull", moves=True)._repr_html_() + "\n")
        # Its figure to play with opens the book, the picture before it the README.
        images = (
            o.data["image/png"]
            for c in notebook.cells
            for o in c.get("outputs", [])
            if "image/png" in o.get("data", {})
        )
        (CHAPTERS.parent / "picture.png").write_bytes(base64.b64decode(list(images)[1]))


if __name__ == "__main__":
    chapters = {path.stem: path for path in sorted(CHAPTERS.glob("*.md"))}
    if unknown := [name for name in sys.argv[1:] if name not in chapters]:
        sys.exit(f"There is no chapter {unknown[0]}; expected one of {', '.join(chapters)}")
    for name in sys.argv[1:] or chapters:
        print(f"executing {name}.md", flush=True)
        execute(chapters[name])
