"""Links that nobody writes: from names of pages, of the API and of terms, and from there back to the chapters.

They are made when the book is built, so that the chapters stay plain Markdown, which reads well elsewhere too.
"""

import re
from collections import Counter, defaultdict

from docutils import nodes
from sphinx import addnodes
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.nodes import make_refnode

CHAPTERS = "book/chapters/"
RECALLS = "take-away", "exercises"  # of what a chapter has explained before
CLOSED = nodes.title, nodes.caption, nodes.reference, addnodes.pending_xref, nodes.literal, nodes.literal_block
# What the API and the glossary say of themselves needs no glossary, and a table no dots under its words.
NO_TERMS = *CLOSED, nodes.table, nodes.citation, nodes.math, nodes.raw, nodes.field, addnodes.desc
NO_TERMS += (addnodes.glossary,)


def parents(node):
    while node := node.parent:
        yield node


def section(node):
    return next((parent["ids"][0] for parent in parents(node) if isinstance(parent, nodes.section)), "")


def find(doctree, kind, closed=CLOSED):
    """Nodes that may become links. The sources at the end of a chapter speak of other people's functions and words."""
    for node in list(doctree.findall(kind)):
        if section(node) != "sources" and not any(isinstance(parent, closed) for parent in parents(node)):
            yield node


def short(title):
    """What others call a page or a paper: its title up to a colon."""
    return title.split(":")[0]


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
        self.names = {page: short(title.astext()) for page, title in env.titles.items()}
        self.pages = {title.astext(): page for page, title in env.titles.items()}
        self.pages |= {name: page for page, name in self.names.items()}
        self.api = {}
        for name, entry in env.domains["py"].objects.items():
            if "." in name:
                self.api[name] = entry.docname, entry.node_id
            if entry.objtype in ("function", "class"):
                self.api[name.rpartition(".")[2]] = entry.docname, entry.node_id
        terms = {name: place[:2] for (kind, name), place in env.domains["std"].objects.items() if kind == "term"}
        self.terms = [terms[name] for name in sorted(terms, key=len, reverse=True)]
        self.term = "|".join(f"({spelled(name)})" for name in sorted(terms, key=len, reverse=True))
        # What chapters speak of: the first use of each term, what they cite, and how much a section has on a name.
        self.used, self.cited, self.weight = defaultdict(dict), defaultdict(dict), defaultdict(Counter)
        self.chapters = [page for page in env.toctree_includes[env.config.root_doc] if page.startswith(CHAPTERS)]
        for page in self.chapters:
            self.read(env.get_doctree(page), page)

    def read(self, doctree, page):
        for node in doctree.findall(nodes.emphasis):
            self.cited[short(node.astext())].setdefault(page, section(node))
        for node in doctree.findall(nodes.reference):
            for source in (node.astext(), node.get("refuri", "")):
                self.cited[source].setdefault(page, section(node))
        for node in doctree.findall(nodes.literal_block):
            for name in re.findall(r"\bpairloss\.(?:datasets\.)?(\w+)", node.astext()):
                self.weight[key(name)][page, section(node)] += section(node) not in RECALLS
        for node in self.link(doctree, page):
            if "term-link" in node["classes"]:
                self.used[node["refuri"].partition("#")[2]][page] = node["ids"][0]
            elif "api-link" in node["classes"]:
                self.weight[key(node.astext())][page, section(node)] += 5 * (section(node) not in RECALLS)

    def explained(self, name):
        """The two chapters that have most on it, each at the section that has."""
        sections, pages, stem = Counter(self.weight[key(name)]), Counter(), key(name).removesuffix("loss")
        for page, anchor in sections:
            sections[page, anchor] += 10 * key(anchor).startswith(stem)
            pages[page] += sections[page, anchor]
        best = {page: anchor for (page, anchor), _ in reversed(sections.most_common())}
        return {page: best[page] for page, weight in pages.most_common(2) if weight}

    def back(self, page, label, places):
        """The line that leads back to the chapters, in their order."""
        line = nodes.paragraph("", label, classes=["ways-back"])
        for other in filter(places.get, self.chapters):
            line += nodes.Text(" · " if len(line) > 1 else "")  # some names have a comma
            line += self.reference(page, (other, places[other]), nodes.Text(self.names[other]), "doc-link")
        return [line] if places else []

    def lead_back(self, doctree, page):
        for entry in doctree.findall(nodes.definition_list_item):
            if isinstance(entry[0], nodes.term) and entry[0]["ids"]:
                entry[-1].extend(self.back(page, "In: ", self.used[entry[0]["ids"][0]]))
        for entry in doctree.findall(nodes.citation):
            uris, places = {node.get("refuri") for node in entry.findall(nodes.reference)}, {}
            for source, where in self.cited.items():
                if source in uris or re.search(rf"\. {re.escape(source)}[.:]", entry.astext(), re.IGNORECASE):
                    places |= where
            entry.extend(self.back(page, "In: ", places))
        for entry in doctree.findall(addnodes.desc):
            if entry["objtype"] in ("function", "class"):
                entry[-1][1:1] = self.back(page, "Explained in: ", self.explained(entry[0]["ids"][0]))

    def reference(self, page, place, child, kind):
        node = make_refnode(self.builder, page, *place, child)
        node["classes"].append(kind)
        return node

    def link(self, doctree, page):
        """Turn what a page names into links."""
        links = []
        for node in find(doctree, nodes.emphasis):
            other = self.pages.get(node.astext(), page)
            if other != page:
                links.append(self.reference(page, (other, ""), node.deepcopy(), "doc-link"))
                node.replace_self(links[-1])
        for node in find(doctree, nodes.literal):
            name = node.astext().removesuffix("()")
            if name in self.api and self.api[name][0] != page:
                links.append(self.reference(page, self.api[name], node.deepcopy(), "api-link"))
                node.replace_self(links[-1])
        seen = set()
        for node in find(doctree, nodes.Text, NO_TERMS):
            parts, end = [], 0
            for match in re.finditer(rf"(?<![\w-])(?:{self.term})(?![\w-])", node):
                place = self.terms[match.lastindex - 1]
                if place not in seen and place[0] != page:
                    seen.add(place)
                    link = self.reference(page, place, nodes.Text(match[0]), "term-link")
                    link["ids"].append(f"use-of-{place[1]}")
                    links.append(link)
                    parts += [nodes.Text(node[end : match.start()]), link]
                    end = match.end()
            if parts:
                node.parent.replace(node, [*parts, nodes.Text(node[end:])])
        return links


class Links(SphinxPostTransform):
    """After the bibliography is written out (5), and before the links that people wrote are resolved (10)."""

    default_priority = 7

    def run(self):
        self.app.ways.link(self.document, self.env.docname)
        self.app.ways.lead_back(self.document, self.env.docname)


def read_all(app, env):
    app.ways = Ways(app.builder)
    return env.all_docs  # a title or a term that changed changes every page


def setup(app):
    app.connect("env-updated", read_all)
    app.add_post_transform(Links)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
