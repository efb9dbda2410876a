"""What the built pages have beyond the theme's: little to fetch, a card, a foot, a map of the site, and a page for 404.

A Sphinx extension, named in _config.yml, so that `jupyter-book build .` alone makes the pages as they are published.
"""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pydata_sphinx_theme
from bs4 import BeautifulSoup
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util.images import get_image_size

import pairloss

ICON = re.compile(r'<(i|span) class="([^"]*\bfa-[a-z-]+[^"]*)"([^>]*)></\1>')
FONTAWESOME = next(Path(pydata_sphinx_theme.__file__).parent.glob("theme/*/static/vendor/fontawesome/*/js/all.min.js"))
# Name, width, height and outline of each icon. The solid ones come last, and replace others of the same name.
DRAWINGS = {
    name: (width, height, path)
    for name, width, height, path in re.findall(
        r'"?([a-z0-9-]+)"?:\[(\d+),(\d+),\[[^]]*\],"[0-9a-f]+","([^"]+)"\]', FONTAWESOME.read_text()
    )
}
# What these pages have no use for: FontAwesome as a script and as fonts (the icons stand in the pages), cells that run
# on other people's servers, tabs and cards, a button that folds (<details> does), preloading what paints nothing.
UNUSED = "fontawesome|thebe|THEBE|sphinx-design|design-tabs|toggle(button|Hint|Open)|OPTIONS.pagename"
# Of 24 MB of MathJax the pages load 1 MB.
UNSHIPPED = ("vendor", "locales", "**/*.map", "*thebe*", "*design*", "togglebutton*", "*macros.html")
# A page for 404 stands in for one at any depth: seen under another name, it finds its parts from the root of the site.
ROOTED = "location.pathname.endsWith('/404.html') || document.write('<base href=\"{}\">')"
LOST = (
    '<h1>Page not found</h1><p>Nothing is here. The <a href="book/index.html">first page</a> leads to all others.</p>'
)


def configure(app: Sphinx, config: Config) -> None:
    """Derive the address of the site from that of the repository, and write the foot of the pages."""
    repository = config.html_theme_options["repository_url"]
    owner, name = urlsplit(repository).path.strip("/").split("/")
    config.html_baseurl = f"https://{owner}.github.io/{name}/"
    config.html_theme_options["logo"] = {"text": config.html_title}
    config.html_theme_options["extra_footer"] = (
        f"<p>Made with pairloss {pairloss.__version__}. Code and text are under the "
        f'<a href="{repository}/blob/main/LICENSE">BSD 3-Clause License</a>. '
        f"To cite: {config.author}, <cite>{config.html_title}</cite>, version {pairloss.__version__}, "
        f'{config.copyright}, <a href="{repository}">{repository}</a> '
        f'(<a href="{repository}/blob/main/CITATION.cff">for your bibliography</a>).</p>'
    )


def with_icon(found: re.Match[str]) -> str:
    """Draw an icon where FontAwesome's script, all 1.5 MB of it, would draw it in the browser."""
    _, words, rest = found.groups()
    (name,) = {word for word in words.split() if word.startswith("fa-")} - {"fa-solid", "fa-brands", "fa-lg"}
    width, height, path = DRAWINGS[name.removeprefix("fa-")]
    box = f'viewBox="0 0 {width} {height}" aria-hidden="true"'
    return f'<svg class="icon {words}" {box}{rest}><path fill="currentColor" d="{path}"/></svg>'


def finish(app: Sphinx, name: str, html: str) -> str:
    """Make of a page of the theme one of ours."""
    page = BeautifulSoup(ICON.sub(with_icon, html), "html.parser")
    unused = UNUSED if page.select_one(".math") else f"{UNUSED}|(?i:mathjax)"
    for element in page.select("head script, head link"):
        said = element.get("src") or element.get("href") or element.string or ""
        if "preload" in element.get("rel", ()) or re.search(unused, said):
            element.decompose()
        elif "/theme.css" in said:  # a file of one line, which fetches another
            element["href"] = said.replace("styles/theme.css", "basic.css")
    for script in page.select("script[src]"):
        script["defer"] = ""
    sizes = {file: app.srcdir / source for source, (_, file) in app.env.images.items()}
    for number, image in enumerate(page.select("article img")):
        size = get_image_size(sizes.get(Path(image["src"]).name, "")) if Path(image["src"]).name in sizes else None
        if size:
            image["width"], image["height"] = map(str, size)
        if number:
            image["loading"] = "lazy"

    # What is main is the article: the search shows its text without buttons and contents.
    main, article = page.select_one("main"), page.select_one("article.bd-article")
    if article:
        main.name, article.attrs = "div", article.attrs | {"id": main.attrs.pop("id"), "role": main.attrs.pop("role")}
    # Labels that hide the text that they label, lists without items, headers of nothing, what is empty or said twice.
    for element in page.select("summary[aria-label]"):
        del element["aria-label"]
    for element in page.select(".citation-list"):
        del element["role"]
    for element in page.select("th"):
        if not element.get_text(strip=True):
            element.name = "td"
    for element in page.select("#jb-print-docs-body, footer.bd-footer, meta[name=viewport] ~ [name=viewport]"):
        element.decompose()
    for element in page.select("footer.prev-next-footer"):
        element.name = "div"
    for element in page.select("#search-input")[1:]:
        del element["id"]
    for element in page.select("nav.page-toc"):
        element["aria-label"] = "On this page"

    if name == app.config.root_doc:
        page.title.string = app.config.html_title
    text = next((p for p in page.select("article p") if len(p.get_text()) > 80), None)
    text = " ".join(text.get_text().split()) if text else app.config.html_title
    card = {"description": text if len(text) < 200 else text[:200].rsplit(" ", 1)[0] + " …"}
    card |= {"og:title": page.title.string, "og:description": card["description"], "og:type": "article"}
    card |= {"og:url": f"{app.config.html_baseurl}{name}.html", "og:site_name": app.config.html_title}
    card |= {"og:image": f"{app.config.html_baseurl}_static/picture.png", "twitter:card": "summary_large_image"}
    for key, value in card.items():
        said = {"property" if key.startswith("og:") else "name": key, "content": value}
        page.head.append(page.new_tag("meta", attrs=said))
    if name == "404":
        page.head.insert(0, page.new_tag("script", string=ROOTED.format(urlsplit(app.config.html_baseurl).path)))
        page.head.append(page.new_tag("meta", attrs={"name": "robots", "content": "noindex"}))
    return str(page)


def take_over(app: Sphinx) -> None:
    """See every page between its template and its file: no event of Sphinx comes there."""
    if app.builder.format == "html":
        for page in (Path(app.outdir) / "_modules").rglob("*.html"):
            os.utime(page, (0, 0))  # or they stay as an older build left them
        render = app.builder.templates.render

        def rendered(template: str, context: dict) -> str:
            html = render(template, context)
            return finish(app, context["pagename"], html) if "<main" in html else html

        app.builder.templates.render = rendered


def lost(app: Sphinx) -> Iterator[tuple[str, dict, str]]:
    """Add the page for 404."""
    yield "404", {"title": "Page not found", "body": LOST}, "page.html"


def link_pdf(site: Path) -> None:
    """Name the whole book as one file on the first page, where `make pdf` made it."""
    page, pdf = site / "book/index.html", site / "pairloss.pdf"
    if pdf.exists() and pdf.name not in (html := page.read_text()):
        link = (
            f'<p class="d-print-none"><a href="../{pdf.name}">The whole book as one PDF</a>, to print or to carry.</p>'
        )
        page.write_text(html.replace('<section id="', f'{link}<section id="', 2).replace(link, "", 1))


def trim(app: Sphinx, exception: Exception | None) -> None:
    """Leave out of the site what no page asks for, and map the rest."""
    if exception or app.builder.format != "html":
        return
    site, static = Path(app.outdir), Path(app.outdir) / "_static"
    for pattern in UNSHIPPED:
        for path in list(static.glob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in (static / "mathjax").rglob("*"):
        kept = path.name == "tex-chtml.js" or re.search("/woff-v2/|/input/tex/extensions/", path.as_posix())
        if path.is_file() and not kept:
            path.unlink()
    addresses = [f"<url><loc>{app.config.html_baseurl}{name}.html</loc></url>" for name in sorted(app.env.found_docs)]
    urls = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'
    (site / "sitemap.xml").write_text("\n".join([f"<urlset {urls}>", *addresses, "</urlset>\n"]))
    (site / "index.html").write_text(
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{app.config.html_title}</title>'
        f'<link rel="canonical" href="{app.config.html_baseurl}{app.config.root_doc}.html">'
        f'<meta http-equiv="refresh" content="0; url={app.config.root_doc}.html"></head>'
        f'<body><a href="{app.config.root_doc}.html">{app.config.html_title}</a></body></html>\n'
    )
    link_pdf(site)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension with Sphinx."""
    app.connect("config-inited", configure)
    app.connect("builder-inited", take_over)
    app.connect("html-collect-pages", lost)
    app.connect("build-finished", trim, priority=900)  # after those that copy
    return {"parallel_read_safe": True}
