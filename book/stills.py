"""Write pairloss/figures/NAME.svg: what each figure to play with shows before anybody plays, for where no script runs.

python book/stills.py
"""

import json
import re
from pathlib import Path

from pairloss import figures
from tests.browser import chromium

ROOT = Path(__file__).parent.parent
INK = "#767676"  # stands out from white and from black: a picture does not know its page

TAKE = """() => {
  const svg = document.querySelector(".pairloss-figure svg").cloneNode(true);
  for (const handle of svg.querySelectorAll(".handle")) {
    const [dot] = [...handle.querySelectorAll("circle")].slice(-1);
    dot.setAttribute("transform", handle.getAttribute("transform"));
    handle.replaceWith(dot);
  }
  svg.querySelector("g").removeAttribute("aria-hidden");
  for (const name of ["role", "aria-label"]) svg.removeAttribute(name);
  const [, , width, height] = svg.getAttribute("viewBox").split(" ");
  const tell = (tag, words) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    element.textContent = words;
    svg.prepend(element);
  };
  const style = document.createElementNS("http://www.w3.org/2000/svg", "style");
  style.textContent = "text{fill:currentColor;font:13px sans-serif}.bold{font-weight:700}";
  svg.prepend(style);
  tell("desc", document.querySelector(".says").textContent);
  tell("title", document.querySelector(".pairloss-figure svg").getAttribute("aria-label"));
  svg.setAttribute("width", width);
  svg.setAttribute("height", height);
  svg.setAttribute("color", "INK");
  return new XMLSerializer().serializeToString(svg);
}""".replace("INK", INK)


def of_the_chapter(name: str) -> dict:
    """The numbers that a chapter gave to a figure, from its stored output."""
    for notebook in sorted(ROOT.glob("book/chapters/*.ipynb")):
        for output in re.findall(rf'"play\(\\"{name}\\", {name}, (.*)\);\\n",', notebook.read_text()):
            return json.loads(json.loads(f'"{output}"'))
    return {}


def still(page, name: str) -> str:
    """The figure as it starts, drawn at 640 pixels."""
    page.set_viewport_size({"width": 640, "height": 900})
    page.set_content(
        f"<!doctype html><body style='margin:0'>{figures.Figure(name, **of_the_chapter(name))._repr_html_()}"
    )
    page.wait_for_selector(".pairloss-figure .says")
    return page.evaluate(TAKE) + "\n"


if __name__ == "__main__":
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        page = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"]).new_page()
        for name in figures.NAMES:
            (ROOT / f"pairloss/figures/{name}.svg").write_text(still(page, name))
