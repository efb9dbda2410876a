"""Links that nobody writes: from names of pages, of the API and of terms, and from there back to the chapters.

They are made when the book is built, so that the chapters stay plain Markdown, which reads well elsewhere too.
sphinx-codeautolink has the names within code. Its own lists of examples know every use, and not where one is explained.
"""

import re
from collections import Counter, defaultdict

from docutils import nodes
from sphinx import addnodes
from sphinx.util.nodes import make_refnode

RECALLS = "take-away", "exercises", "sources"  # of what a chapter has explained before
CLOSED = nodes.title, nodes.caption, nodes.reference, addnodes.pending_xref, nodes.literal, nodes.literal_block
# What the API and the glossary say of themselves needs no glossary, and a table no dots under its words.
NO_TERMS = *CLOSED, nodes.table, nodes.citation, nodes.math, nodes.raw, nodes.field, addnodes.desc, addnodes.glossary


def within(node, kinds):
    """The nearest of these that a node is in."""
    while (node := node.parent) and not isinstance(node, kinds):
        pass
    return node


def section(node):
    return parent["ids"][0] if (parent := within(node, nodes.section)) else ""


def find(doctree, kind, closed=CLOSED):
    """Nodes that may become links. The sources at the end of a chapter speak of other people's functions and words."""
    return [node for node in doctree.findall(kind) if section(node) != "sources" and not within(node, closed)]


def spelled(term):
    """As the text has it: at the head of a sentence or within it, one or several, with and without its @10."""
    head, cut, _ = term.partition("@")
    first = f"[{head[0]}{head[0].upper()}]" if term.islower() else head[0]
    return first + re.escape(head[1:]) + (r"(?:@\d+)?" if cut else "(?:s|es)?")


def key(name):
    """A loss and its module are explained at one place: warp_loss and WARPLoss()."""
    return re.sub(r"[_-]|\(\)$|^.*\.", "", name).lower()


class Ways:
    """What there is to link to, and which chapter speaks of it."""

    def __init__(self, builder):
        env, self.builder = builder.env, builder
        # Others call a page or a paper by its title up to a colon.
        self.names = {page: title.astext().split(":")[0] for page, title in env.titles.items()}
        self.pages = {t: (page, "") for page, name in self.names.items() for t in (env.titles[page].astext(), name)}
        self.api = {}
        for name, entry in env.domains["py"].objects.items():
            names = [name] * ("." in name) + [name.rpartition(".")[2]] * (entry.objtype in ("function", "class"))
            self.api |= dict.fromkeys(names, (entry.docname, entry.node_id))
        terms = {name: place[:2] for (kind, name), place in env.domains["std"].objects.items() if kind == "term"}
        longest = sorted(terms, key=len, reverse=True)
        self.terms = [terms[name] for name in longest]
        self.term = re.compile(rf"(?<![\w-])(?:{'|'.join(f'({spelled(name)})' for name in longest)})(?![\w-])")
        # What chapters speak of: the first use of each term, what they cite, and how much a section has on a name.
        self.used, self.cited, self.weight = defaultdict(dict), defaultdict(dict), defaultdict(Counter)
        self.chapters = [page for page in env.toctree_includes[env.config.root_doc] if "/chapters/" in page]
        for page in self.chapters:
            doctree = env.get_doctree(page)
            for node in doctree.findall(lambda node: isinstance(node, (nodes.reference, nodes.emphasis))):
                for source in filter(None, (node.get("refuri"), node.astext().split(": ")[0])):
                    self.cited[source].setdefault(page, section(node))
            for node in doctree.findall(nodes.literal):
                self.weight[key(node.astext())][page, section(node)] += 5 * (section(node) not in RECALLS)
            for node in doctree.findall(nodes.literal_block):
                for name in re.findall(r"\bpairloss\.(?:datasets\.)?(\w+)", node.astext()):
                    self.weight[key(name)][page, section(node)] += section(node) not in RECALLS
            for link in self.link(doctree, page):
                self.used[link["refuri"].partition("#")[2]][page] = link["ids"][0]

    def link(self, doctree, page):
        """Turn what a page names into links, and give those from terms."""
        for kind, places, style in ((nodes.emphasis, self.pages, "doc-link"), (nodes.literal, self.api, "api-link")):
            for node in find(doctree, kind):
                place = places.get(node.astext().removesuffix("()"), (page,))
                if place[0] != page:
                    node.replace_self(self.reference(page, place, node.deepcopy(), style))
        seen = {}
        for node in find(doctree, nodes.Text, NO_TERMS):
            parts, end = [], 0
            for match in self.term.finditer(node):
                place = self.terms[match.lastindex - 1]
                if place not in seen and place[0] != page:
                    seen[place] = link = self.reference(page, place, nodes.Text(match[0]), "term-link")
                    link["ids"].append(f"use-of-{place[1]}")
                    parts += [nodes.Text(node[end : match.start()]), link]
                    end = match.end()
            if parts:
                node.parent.replace(node, [*parts, nodes.Text(node[end:])])
        return seen.values()

    def reference(self, page, place, child, kind):
        node = make_refnode(self.builder, page, *place, child)
        node["classes"].append(kind)
        return node

    def lead_back(self, doctree, page):
        """Add to terms, sources and functions the line that leads to the chapters that speak of them."""
        for entry in doctree.findall(nodes.definition_list_item):
            if isinstance(entry[0], nodes.term) and entry[0]["ids"]:
                entry[-1].extend(self.back(page, "In: ", self.used[entry[0]["ids"][0]]))
        for entry in doctree.findall(nodes.citation):
            uris, places = {node.get("refuri") for node in entry.findall(nodes.reference)}, {}
            for source, where in self.cited.items():
                if source in uris or re.search(rf"\. {re.escape(source)}[.:]", entry.astext(), re.IGNORECASE):
                    places = where | places
            entry.extend(self.back(page, "In: ", places))
        for entry in doctree.findall(addnodes.desc):
            if entry["objtype"] in ("function", "class"):
                entry[-1][1:1] = self.back(page, "Explained in: ", self.explained(entry[0]["ids"][0]))

    def explained(self, name):
        """The two chapters that have most on it, each at the section that has."""
        sections, pages, stem = Counter(self.weight[key(name)]), Counter(), key(name).removesuffix("loss")
        for page, anchor in sections:
            sections[page, anchor] += 10 * key(anchor).startswith(stem)
            pages[page] += sections[page, anchor]
        best = {page: anchor for (page, anchor), _ in reversed(sections.most_common())}
        return {page: best[page] for page, weight in pages.most_common(2) if weight}

    def back(self, page, label, places):
        """Such a line, in the order of the chapters."""
        line = nodes.paragraph("", label, classes=["ways-back"])
        for other in filter(places.get, self.chapters):
            line += nodes.Text(" · " if len(line) > 1 else "")  # some names have a comma
            line += self.reference(page, (other, places[other]), nodes.Text(self.names[other]), "doc-link")
        return [line] if places else []


def read_all(app, env):
    app.ways = Ways(app.builder)
    return env.all_docs  # a title or a term that changed changes every page


def setup(app):
    app.connect("env-updated", read_all)
    app.connect("doctree-resolved", lambda app, *page: (app.ways.link(*page), app.ways.lead_back(*page)))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
