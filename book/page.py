"""What the built pages have beyond the theme's: an address, a page for 404, and less to wait for.

A Sphinx extension, named in _config.yml. Whatever it looks for in the theme may be missing in another one: then the
pages are plainer or slower, the build goes on, and one line at its end names what was not found.
"""

import re
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pydata_sphinx_theme
from bs4 import BeautifulSoup
from sphinx.util.images import get_image_size

import pairloss

ICON = re.compile(r'<(i|span) class="([^"]*\bfa-[a-z-]+[^"]*)"([^>]*)></\1>')
# As FontAwesome's script has it.
DRAWING = re.compile(r'"?([a-z0-9-]+)"?:\[(\d+),(\d+),\[[^]]*\],"[0-9a-f]+","([^"]+)"\]')
# What is fetched before it is needed, and a line that waits for no script.
UNUSED = "[rel=preload], script:-soup-contains('OPTIONS.pagename')"
FONTAWESOME = "[src*=fontawesome], [href*=fontawesome]"
MATHJAX = "script[src*=mathjax], script:-soup-contains('window.MathJax')"
LOOKED_FOR = "main[role=main]", "article.bd-article", "[src*=fontawesome]", "link[href*='/theme.css']", "#search-input"
# No page asks for them. Of 24 MB of MathJax the pages load 1 MB.
UNSHIPPED = re.compile(r"/locales/|\.map$|macros\.html$|/mathjax/(?!tex-chtml\.js|.*/woff-v2/|input/tex/ext)")
# A page for 404 stands in for one at any depth: seen under another name, it finds its parts from the root of the site.
ROOTED = "<script>location.pathname.endsWith('/404.html') || document.write('<base href=\"{}\">')</script>"
LOST = (
    '<h1>Page not found</h1><p>Nothing is here. The <a href="book/index.html">first page</a> leads to all others.</p>'
)


def configure(app, config):
    """Derive the address of the site from the address of the repository, and name the version."""
    options = config.html_theme_options
    owner, name = urlsplit(options["repository_url"]).path.strip("/").split("/")
    config.html_baseurl = config.ogp_site_url = f"https://{owner}.github.io/{name}/"
    options["logo"] = {"text": config.html_title}
    options["extra_footer"] = options["extra_footer"].replace("VERSION", pairloss.__version__)


def complete(app, name, template, context, doctree):
    """Add to the head of a page what sphinxext-opengraph has for pages with a source only."""
    site, tags = app.config.html_baseurl, context.get("metatags", "")
    if name == app.config.root_doc:
        context["docstitle"] = ""  # its title is the title of the book
    if not doctree:
        tags += f'<meta name="description" content="{app.config.html_title}">'
        tags += f'<meta property="og:image" content="{site}{app.config.ogp_image}">'
    if name == "404":
        tags = ROOTED.format(urlsplit(site).path) + tags + '<meta name="robots" content="noindex">'
    context["metatags"] = tags


def lighten(app, exception):
    """Take from the pages what they would wait for, and from the site what no page asks for."""
    if exception or app.builder.format != "html":
        return
    site, static, missing = Path(app.outdir), Path(app.outdir, "_static"), {*LOOKED_FOR}
    # The drawings of the icons stand in a script of 1.5 MB. The solid ones come last, and replace others.
    scripts = sorted(
        Path(pydata_sphinx_theme.__file__).parent.glob("theme/*/static/vendor/fontawesome/*/js/all.min.js")
    )
    drawings = {name: rest for script in scripts for name, *rest in DRAWING.findall(script.read_text("utf-8"))}

    def drawn(icon):
        _, words, rest = icon.groups()
        names = {word.removeprefix("fa-") for word in words.split()} & drawings.keys()
        if not names:
            missing.add(words)
            return icon[0]
        width, height, outline = drawings[names.pop()]
        box = f'viewBox="0 0 {width} {height}" aria-hidden="true"'
        return f'<svg class="icon {words}" {box}{rest}><path fill="currentColor" d="{outline}"/></svg>'

    for path in site.rglob("*.html"):
        html = ICON.sub(drawn, path.read_text("utf-8"))
        page = BeautifulSoup(html, "html.parser")
        missing -= {selector for selector in missing if page.select_one(selector)}
        unused = UNUSED if page.select_one(".math") else f"{UNUSED}, {MATHJAX}"
        # An icon that was not drawn is left to the script.
        for element in page.select(unused if ICON.search(html) else f"{unused}, {FONTAWESOME}"):
            element.decompose()
        for link in page.select("link[href*='styles/theme.css']"):  # a file of one line, which fetches another
            link["href"] = link["href"].replace("styles/theme.css", "basic.css")
        for script in page.select("script[src]"):
            script["defer"] = ""
        for number, image in enumerate(page.select("article img")):
            if size := get_image_size(path.parent / image["src"]) if "_images/" in image["src"] else None:
                image["width"], image["height"] = map(str, size)
            if number:
                image["loading"] = "lazy"
        # What is main is the article: the search shows its text without buttons and contents.
        main, article = page.select_one("main[role=main]"), page.select_one("article.bd-article")
        if main and article:
            main.name = "div"
            article.attrs |= {"id": main.attrs.pop("id"), "role": main.attrs.pop("role")}
        for twice in page.select("#search-input")[1:]:
            del twice["id"]
        path.write_text(str(page), "utf-8")
    for path in static.rglob("*.*"):
        if path.is_file() and UNSHIPPED.search(path.as_posix()):
            path.unlink()
    if missing:  # no warning of Sphinx: a strict build would fail for it, and nothing is broken
        print(f"book/page.py did not find in the pages of this theme: {', '.join(sorted(missing))}", file=sys.stderr)


def setup(app):
    app.connect("config-inited", configure)
    app.connect("html-collect-pages", lambda app: [("404", {"title": "Page not found", "body": LOST}, "page.html")])
    app.connect("html-page-context", complete)
    app.connect("build-finished", lighten, priority=900)  # after those that copy
    return {"parallel_read_safe": True, "parallel_write_safe": True}
