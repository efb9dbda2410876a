"""The built pages, as readers meet them: in Chromium, from the disk, with the network closed."""

import re

import pytest

pytestmark = pytest.mark.slow

PROMPTED = "div.highlight-python:has(.gp), div.highlight-default:has(.gp), div.highlight-pycon:has(.gp)"


def pages(site):
    """Every page a reader can meet: of the sources of the package, one stands for all."""
    names = sorted(path.relative_to(site).as_posix() for path in site.rglob("*.html") if "_static" not in path.parts)
    return [n for n in names if n != "index.html" and (not n.startswith("_modules/") or n.endswith("/pairs.html"))]


def opened(context, built_book, name):
    """In the one tab of the context, because each new one reads scripts and fonts once more."""
    (page,) = context.pages
    page.goto((built_book / name).as_uri(), wait_until="load")
    page.evaluate("window.MathJax?.startup?.promise")
    return page


@pytest.fixture
def context(browser):
    context = browser.new_context()
    context.asked, context.problems = [], []
    context.route(
        re.compile("^(?!file:|data:|blob:)"), lambda route: (context.asked.append(route.request.url), route.abort())
    )
    page = context.new_page()
    page.on("console", lambda said: context.problems.append((page.url, said.text)) if said.type == "error" else None)
    page.on("pageerror", lambda error: context.problems.append((page.url, str(error))))
    yield context
    context.close()


# What axe judges, where, without fetching the style sheets once more, which pages from the disk may not. Colours come
# from style sheets that all pages share, and a page of each kind shows them. On a phone it is what the width decides.
OF_COLOUR = ["color-contrast", "link-in-text-block"]
COLOUR = {"runOnly": OF_COLOUR, "preload": False}
# Whether all text lies in a landmark is slow to judge and of a moderate impact, which no page is refused for.
LEFT_OUT = {rule: {"enabled": False} for rule in (*OF_COLOUR, "region")}
STRUCTURE = {"resultTypes": ["violations"], "preload": False, "rules": LEFT_OUT}
SHAPE = {"runOnly": ["scrollable-region-focusable", "aria-hidden-focus"], "preload": False}
OF_EACH_KIND = "search", "book/index", "book/which_loss", "book/api", "book/study", "book/chapters/standard_losses"
IN_COLOUR = [f"{name}.html" for name in OF_EACH_KIND]
LOOKS = [("light", 1300, STRUCTURE), ("light", 390, SHAPE), ("light", 1300, COLOUR), ("dark", 1300, COLOUR)]
# Formulas are pictures to a screen reader, and the functions of the API have the colours of the first one.
FORMULAS, FUNCTIONS = ["mjx-math"], ["dl.py ~ dl.py.function"]
# By how many pixels something scrolls sideways. One is rounding.
TOO_WIDE = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
CODE_TOO_WIDE = """() => [...document.querySelectorAll('div.cell_input pre')]
    .filter(pre => pre.scrollWidth > pre.clientWidth + 1).map(pre => pre.textContent.slice(0, 60))"""
# The theme makes what scrolls a stop of the tab key, a third of a second after a page has got another width.
STOPS = """() => [...document.querySelectorAll('pre, .cell_output > .output')]
    .every(e => e.tabIndex === 0 || (e.scrollWidth <= e.clientWidth && e.scrollHeight <= e.clientHeight))"""
# Pictures stand on the ground of the page: no slab behind them.
SLABS = """() => [...document.querySelectorAll('div.cell_output img, div.cell_output .text_html')]
    .filter(e => !/, 0\\)$/.test(getComputedStyle(e).backgroundColor)).map(e => e.className || e.alt.slice(0, 40))"""


def test_every_page_at_both_widths(built_book, context):
    axe, problems = pytest.importorskip("axe_playwright_python.sync_playwright").Axe(), context.problems
    for name in pages(built_book):
        page = opened(context, built_book, name)
        for scheme, width, options in LOOKS:
            if options is COLOUR and name not in IN_COLOUR:
                continue
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            page.set_viewport_size({"width": width, "height": 900})
            problems += [(name, width, "scrolls sideways")] if page.evaluate(TOO_WIDE) > 1 else []
            if width == 1300:
                problems += [(name, "code scrolls", code) for code in page.evaluate(CODE_TOO_WIDE)]
                problems += [(name, "has a ground of its own", slab) for slab in page.evaluate(SLABS)]
            page.wait_for_timeout(300)  # what appears fades in, and a sidebar slides
            page.wait_for_function(STOPS)
            left_out = {"exclude": [FORMULAS, FUNCTIONS] if options is COLOUR else [FORMULAS]}
            found = axe.run(page, context=left_out, options=options).response["violations"]
            problems += [
                (name, scheme, width, v["id"], v["nodes"][0]["target"], len(v["nodes"]))
                for v in found
                if v["impact"] in ("serious", "critical") or v["id"].startswith(("duplicate-id", "landmark"))
            ]
    assert not problems, "\n".join(map(str, problems))
    assert not context.asked, context.asked


def test_mathematics_only_where_there_is_some(built_book, context):
    for name, expected in {
        "book/chapters/standard_losses.html": True,
        "search.html": False,
        "book/which_loss.html": False,
    }.items():
        asked = []
        context.on("request", lambda request, asked=asked: asked.append(request.url))
        page = opened(context, built_book, name)
        assert any("mathjax" in url for url in asked) == expected, name
        assert page.locator("mjx-container").count() > 0 if expected else page.locator("mjx-container").count() == 0
        stops = page.evaluate("[...document.querySelectorAll('mjx-container[tabindex]')].length")
        assert stops == 0, "formulas are no stops of the tab key"
    assert not context.problems


def test_the_keyboard_shows_where_it_is(built_book, context):
    page = opened(context, built_book, "book/chapters/standard_losses.html")
    seen = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        tag, outline = page.evaluate(
            """() => { const e = document.activeElement, s = getComputedStyle(e);
            return [e.tagName, s.outlineStyle != 'none' && parseFloat(s.outlineWidth) > 0 || s.boxShadow != 'none'] }"""
        )
        assert outline or tag == "BODY", page.evaluate("document.activeElement.outerHTML.slice(0, 200)")
        seen.add(tag)
    assert {"A", "BUTTON", "SUMMARY"} <= seen, seen


def test_examples_are_copied_without_prompts(built_book, context):
    page = opened(context, built_book, "book/api.html")
    page.evaluate("document.addEventListener('copy', event => (window.copied = event.target.value))")
    example = page.locator(PROMPTED).first
    assert ">>>" in example.inner_text()
    example.hover()
    example.locator("button.copybtn").click()
    copied = page.evaluate("window.copied")
    assert ">>>" not in copied
    assert copied.splitlines() == [
        line[4:] for line in example.inner_text().splitlines() if line.startswith((">>> ", "... "))
    ]


def test_paper_is_light_whole_and_unfolded(built_book, context):
    page = opened(context, built_book, "book/chapters/standard_losses.html")
    page.emulate_media(color_scheme="dark", media="print")
    page.set_viewport_size({"width": 700, "height": 900})
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    assert page.locator("h1").is_visible()
    for element in ("body", "div.cell_input pre", "article"):
        style = page.evaluate(
            "e => { const s = getComputedStyle(document.querySelector(e)); return [s.color, s.backgroundColor] }",
            element,
        )
        color, background = ([int(c) for c in re.findall(r"\d+", value)] for value in style)
        assert max(color[:3]) < 120, (element, style)
        assert min(background[:3]) > 230 or background[3:] == [0], (element, style)
    cut = page.evaluate("[...document.querySelectorAll('pre')].filter(e => e.scrollWidth > e.clientWidth + 1).length")
    assert cut == 0


def test_the_guide_leads_to_each_answer(built_book, context):
    page = opened(context, built_book, "book/which_loss.html")
    reached = set()
    for name in ("", "all", "hundred", "features", "labels", "small", "graded"):
        if name:
            page.locator(f"#guide [name={name}]").click()
        links = page.locator("#guide output a").evaluate_all("links => links.map(link => link.getAttribute('href'))")
        shown = page.locator("section section:visible").evaluate_all("all => all.map(one => one.id)")
        led_to = page.locator(", ".join(links)).evaluate_all("all => all.map(one => one.closest('section').id)")
        assert sorted(shown) == sorted([*led_to, "how-to-read-the-numbers"])
        reached.add(" ".join(links))
    assert reached == {
        "#all-items #ease",
        "#a-hundred #ease",
        "#one-negative #ease",
        "#in-the-batch",
        "#in-the-batch #credit",
        "#other-losses",
    }
    page.goto(f"{page.url.partition('#')[0]}#credit")
    page.locator("section:has(> #credit) > h2").wait_for()
