"""Print every page of the built book, in the order of its table of contents, into one PDF (make pdf)."""

import io
from pathlib import Path

import yaml
from page import link_pdf
from playwright.sync_api import sync_playwright
from pypdf import PdfReader, PdfWriter

from tests.browser import chromium

ROOT = Path(__file__).parent.parent
PAPER = {"format": "A4", "margin": dict.fromkeys(("top", "bottom", "left", "right"), "18mm")}
NUMBER = '<div style="font: 8px sans-serif; width: 100%; text-align: center"><span class="pageNumber"></span></div>'
STYLE = "body { font: 11pt/1.8 sans-serif } div { display: flex; justify-content: space-between }"
# Formulas are set, figures are there, and links lead to the site, not to the disk of whoever printed.
READY = """async () => {
    await window.MathJax?.startup?.promise;
    for (const image of document.images) {
        image.loading = 'eager';
        await image.decode().catch(() => {});
    }
    const site = document.querySelector('link[rel=canonical]').href;
    for (const link of document.querySelectorAll('a[href]:not([href^="#"])')) {
        link.href = new URL(link.getAttribute('href'), site).href;
    }
}"""


def main() -> None:
    """Print, join, number, and link from the first page."""
    site = ROOT / "_build/html"
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    names = [toc["root"], *(chapter["file"] for part in toc["parts"] for chapter in part["chapters"])]
    printed, titles = [], []
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        page = browser.new_page(color_scheme="light")
        for name in names:
            page.goto((site / name).with_suffix(".html").as_uri(), wait_until="load")
            page.evaluate(READY)
            titles.append(page.locator("h1").first.evaluate("heading => heading.firstChild.textContent"))
            printed.append(PdfReader(io.BytesIO(page.pdf(**PAPER, outline=True, print_background=True))))
        starts = [2 + sum(len(pdf.pages) for pdf in printed[:number]) for number in range(len(printed))]
        lines = "".join(f"<div><span>{t}</span><span>{n}</span></div>" for t, n in zip(titles, starts, strict=True))
        page.set_content(f"<title>Contents</title><style>{STYLE}</style><h1>Contents</h1>{lines}")
        contents = PdfReader(io.BytesIO(page.pdf(**PAPER)))
        # Chromium numbers the pages of each print anew: those of the book come from as many empty pages, laid over.
        empty = '<p style="break-after: page">&nbsp;</p>' * (starts[-1] + len(printed[-1].pages) - 1)
        page.set_content(empty)
        foot = {"display_header_footer": True, "header_template": "<span></span>", "footer_template": NUMBER}
        numbers = PdfReader(io.BytesIO(page.pdf(**PAPER, **foot)))
        browser.close()
    book = PdfWriter()
    book.append(contents, outline_item="Contents")
    for pdf, title in zip(printed, titles, strict=True):
        book.append(pdf, outline_item=title)
    for sheet, number in zip(book.pages, numbers.pages, strict=False):
        sheet.merge_page(number)
        sheet.compress_content_streams()
    book.add_metadata({"/Title": titles[0]})
    book.compress_identical_objects()
    book.write(site / "pairloss.pdf")
    link_pdf(site)
    print(f"The book: {site / 'pairloss.pdf'}, {len(book.pages)} pages")


if __name__ == "__main__":
    main()
