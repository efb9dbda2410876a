"""The links that are made when the book is built: they are there, and each leads to what it names."""

import re
from urllib.parse import unquote, urldefrag, urlsplit

import pytest
import yaml

import pairloss
from tests.conftest import ROOT

pytestmark = pytest.mark.slow

TOC = yaml.safe_load((ROOT / "_toc.yml").read_text())["parts"]
FILES = [chapter["file"] for part in TOC for chapter in part["chapters"]]
CHAPTERS = [file.replace(".ipynb", ".html") for file in FILES if file.endswith(".ipynb")]
GLOSSARY, API, SOURCES = "book/glossary.html", "book/api.html", "book/sources.html"


@pytest.fixture(scope="module")
def pages(built_book, soups):
    found = {path.relative_to(built_book).as_posix(): soup for path, soup in soups.items()}
    return {name: soup.find("article") for name, soup in found.items() if name.startswith("book/")}


def goal(page, link):
    """Page and anchor of a link, None if there is none or it leaves the book."""
    if link is None or re.match(r"[a-z]+:", link["href"]):
        return None
    file, anchor = urldefrag(link["href"])
    path = page
    if file:
        steps = page.split("/")[:-1]
        for step in file.split("/"):
            steps = steps[:-1] if step == ".." else [*steps, step]
        path = "/".join(steps)
    return path, unquote(anchor)


def goals(page, article, kind):
    return [goal(page, link) for link in article.select(f"a{kind}")]


def test_links_and_anchors_lead_somewhere(soups):
    anchors = {path: {e["id"] for e in soup.select("[id]")} for path, soup in soups.items()}
    broken, arrived = [], 0
    for path, soup in soups.items():
        ids = [element["id"] for element in soup.select("[id]")]
        broken += [(path.name, "twice", twice) for twice in {i for i in ids if ids.count(i) > 1}]
        for element in soup.select("[href], [src]"):
            link = urlsplit(element.get("href") or element.get("src"))
            if link.scheme or link.netloc or element.get("rel") == ["canonical"]:
                continue
            target = (path.parent / unquote(link.path)).resolve() if link.path else path
            known = not link.fragment or target not in anchors or unquote(link.fragment) in anchors[target]
            broken += [] if target.is_file() and known else [(path.name, link.geturl())]
            arrived += 1
    assert not broken, broken
    assert arrived > 1000


def test_the_head_and_the_foot_of_every_page(built_book, soups):
    titles = {}
    for path, soup in soups.items():
        name = path.relative_to(built_book).as_posix()
        if "_static" in path.parts or name == "index.html":  # which sends the reader on
            continue
        assert f"Made with pairloss {pairloss.__version__}." in soup.body.get_text(), name
        head = soup.head
        titles[name] = head.title.string
        assert len(head.select("meta[name=description], meta[property='og:image'], link[rel=canonical]")) == 3, name
        address = head.select_one("link[rel=canonical]")["href"]
        assert re.fullmatch(rf"https://[\w-]+\.github\.io/[\w.-]+/{re.escape(name)}", address)
    assert len(set(titles.values())) == len(titles), titles
    assert titles["book/index.html"] == "Pairwise ranking losses"
    assert {"404.html", "search.html", "genindex.html", "book/api.html"} <= set(titles)
    assert "/book/api.html</loc>" in (built_book / "sitemap.xml").read_text()


def test_chapters_name_each_other_and_the_api(pages):
    to_pages = {page: goals(page, pages[page], ".doc-link") for page in CHAPTERS}
    to_api = {page: goals(page, pages[page], ".api-link") for page in CHAPTERS}
    in_code = {page: goals(page, pages[page], ".sphinx-codeautolink-a") for page in CHAPTERS}
    for page in CHAPTERS:
        others = {path for path, _ in to_pages[page]} & {*CHAPTERS} - {page}
        assert others, f"{page} names another chapter in italics, by its title up to the colon"
        assert to_api[page], f"{page} names a function in `code` in its text"
        assert {path for path, _ in to_api[page] + in_code[page]} == {API}
        found = len(in_code[page])
        assert found >= 10, f"{page} has {found} calls of pairloss in its code, written pairloss.name; at least 10"
    assert sum(map(len, to_pages.values())) >= 22
    assert sum(map(len, to_api.values())) >= 26
    assert sum(map(len, in_code.values())) >= 140


def closed(node):
    """Headings, code and the sources at the end of a chapter have no links of ours."""
    return (
        node.find_parent(["h1", "h2", "h3", "pre", "figcaption"]) or node.find_parent("section").get("id") == "sources"
    )


def test_every_name_is_a_link(pages):
    titles = {page: re.sub(r"^\d+\. |#$", "", article.h1.get_text()) for page, article in pages.items()}
    names = {short: page for page, title in titles.items() for short in (title, title.split(":")[0])}
    pages_named = functions_named = 0
    for page in (*CHAPTERS, SOURCES):
        for italic in pages[page].select("em"):
            other = names.get(italic.get_text(), page)
            if other != page and not closed(italic):
                assert goal(page, italic.find_parent("a")) == (other, ""), (page, italic)
                pages_named += 1
        for literal in pages[page].select("code.literal"):
            name = literal.get_text().removesuffix("()").rpartition(".")[2]
            if name in pairloss.__all__ and not closed(literal):
                assert goal(page, literal.find_parent("a")) == (API, f"pairloss.{name}"), (page, literal)
                functions_named += 1
    assert pages_named >= 24
    assert functions_named >= 26


def test_a_term_is_linked_where_a_page_first_uses_it_and_leads_back(pages):
    total = 0
    for page in CHAPTERS:
        links = pages[page].select("a.term-link")
        assert len(links) >= 7, f"{page} uses {len(links)} terms of book/glossary.md; at least 7, spelled as there"
        terms = goals(page, pages[page], ".term-link")
        assert len({*terms}) == len(terms), page
        assert {path for path, _ in terms} == {GLOSSARY}
        assert not any(closed(link) or link.find_parent(["table", "code"]) for link in links)
        total += len(links)
    assert total >= 110
    back = 0
    for term in pages[GLOSSARY].select("dt"):
        for link in term.find_next_sibling("dd").select(".ways-back a"):
            path, anchor = goal(GLOSSARY, link)
            use = pages[path].find(id=anchor)
            assert goal(path, use) == (GLOSSARY, term["id"]), (term, link)
            back += 1
    assert back == total


def test_the_sources_know_who_cites_them(pages):
    lines = [entry.select(".ways-back a") for entry in pages[SOURCES].select("div.citation")]
    assert sum(1 for line in lines if line) >= 14
    for link in (link for line in lines for link in line):
        path, anchor = goal(SOURCES, link)
        assert path in CHAPTERS
        assert pages[path].find(id=anchor)


def test_the_api_leads_to_the_chapter_that_explains(pages):
    explained = {}
    for entry in pages[API].select("dl.py.function, dl.py.class"):
        links = entry.select(".ways-back a")
        assert len(links) <= 2
        explained[entry.dt["id"].removeprefix("pairloss.")] = [goal(API, link) for link in links]
    for name in {*pairloss.__all__} - {"Interactions", "Reduction", "ListReduction"}:
        assert explained[name], f"no chapter explains {name}: call pairloss.{name} in one, or name `{name}` in its text"
        assert {path for path, _ in explained[name]} <= {*CHAPTERS}
    first = {"bpr_loss": "standard_losses", "WARPLoss": "adaptive_losses", "sample_negatives": "choosing_negatives"}
    first |= {"lambdarank_loss": "lists", "softmax_loss": "softly", "pointwise_loss": "one_name"}
    for name, chapter in first.items():
        assert explained[name][0][0] == f"book/chapters/{chapter}.html", name
    assert explained["hinge_loss"][0][1] == "hinge-a-margin-is-enough"


def test_chapters_are_numbered_and_their_sections_are_not(pages):
    files = [chapter["file"] for part in TOC if "numbered" in part for chapter in part["chapters"]]
    numbered = [f"{file.removesuffix('.ipynb')}.html" for file in files]
    for number, page in enumerate(numbered, start=1):
        assert pages[page].h1.get_text().startswith(f"{number}. ")
        assert not pages[page].select("h2 .section-number")
    assert not any(pages[page].select(".section-number") for page in pages if page not in numbered)
