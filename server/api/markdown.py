"""From the manual's Markdown to HTML: headings get anchors, links to pages lose their `.md`.

Invariant: HTML in Markdown stays text, and the HTML made holds neither script nor inline style, so that a strict
Content-Security-Policy fits. Anchors are those that Git hosts make, so that one link works in both places.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from html import escape
from itertools import pairwise
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererProtocol
from markdown_it.token import Token

_NOT_IN_ANCHOR = re.compile(r"[^\w\- ]")
_ELSEWHERE = re.compile(r"^[a-z][a-z0-9+.-]*:|^//", re.IGNORECASE)
_ALIGNED = re.compile(r"text-align:(\w+)")
_HTML = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · chronotope</title>
<link rel="stylesheet" href="{style}">
<link rel="icon" href="data:,">
</head>
<body>
<header><a href="../">chronotope</a> <a href="./">Manual</a> <a href="#pages">Pages</a></header>
<main>
{body}</main>
<nav id="pages" aria-label="Pages of the manual">
{navigation}
</nav>
</body>
</html>
"""


class Heading(NamedTuple):
    """A heading: 1 for the page's own; its text, and the anchor that leads to it."""

    level: int
    text: str
    anchor: str


class Page(NamedTuple):
    """One page: HTML of its body, its headings, and the targets of its links and pictures as they were written."""

    body: str
    headings: Sequence[Heading]
    links: Sequence[str]
    pictures: Sequence[str]


class Group(NamedTuple):
    """A part of the table of contents: its title, and (title, page) of each page."""

    title: str
    pages: Sequence[tuple[str, str]]


def read_page(text: str) -> Page:
    """Return a page of the manual, from its Markdown."""
    tokens = _parser().parse(text)
    headings = list(_anchor_headings(tokens))
    links, pictures = [], []
    for token in _all(tokens):
        if token.type == "link_open":
            links.append(str(token.attrs["href"]))
            token.attrs["href"] = served_link(links[-1])
        elif token.type == "image":
            pictures.append(str(token.attrs["src"]))
        elif aligned := _ALIGNED.match(str(token.attrs.pop("style", ""))):
            token.attrs["class"] = aligned[1]
    return Page(_parser().renderer.render(tokens, _parser().options, {}), headings, links, pictures)


def contents(index: str) -> list[Group]:
    """Return the table of contents: second-level headings of the index, and the pages that are linked below each."""
    groups: list[tuple[str, list[tuple[str, str]]]] = []
    for before, token in pairwise(_parser().parse(index)):
        if before.type == "heading_open" and before.tag == "h2":
            groups.append((_text(token), []))
        elif groups and token.type == "inline":
            groups[-1][1].extend(_pages_in(token.children or []))
    return [Group(title, pages) for title, pages in groups]


def served_link(target: str) -> str:
    """Return a link as the server has it: `run-it.md#ports` → `run-it#ports`."""
    if _ELSEWHERE.match(target):
        return target
    path, mark, anchor = target.partition("#")
    path = "./" if path == "index.md" else path.removesuffix(".md")
    return path + mark + anchor


def html_page(page: Page, listed: Sequence[Group], here: str, style: str) -> str:
    """Return a complete HTML document; `here` is the page that the navigation marks."""
    title = page.headings[0].text if page.headings else "Manual"
    navigation = "\n".join(_group_html(group, here) for group in listed)
    return _HTML.format(title=escape(title), style=style, navigation=navigation, body=page.body)


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark").enable("table")
    parser.add_render_rule("html_block", _html_as_text)
    parser.add_render_rule("html_inline", _html_as_text)
    parser.add_render_rule("fence", _fence)
    return parser


def _html_as_text(renderer: RendererProtocol, tokens: Sequence[Token], at: int, *_: object) -> str:
    """Comments are for those who write the manual, and for its test; other HTML is shown as it is written."""
    content = tokens[at].content
    return "" if content.lstrip().startswith("<!--") else escape(content)


def _fence(renderer: RendererProtocol, tokens: Sequence[Token], at: int, *_: object) -> str:
    """In a `console` block, prompts and output are not selected together with the commands."""
    fence = tokens[at]
    lines = fence.content.splitlines()
    if fence.info == "console":
        shown = "".join(_console_line(line, before) for before, line in pairwise(["", *lines]))
    else:
        shown = escape(fence.content)
    return f"<pre><code>{shown}</code></pre>\n"


def _console_line(line: str, before: str) -> str:
    if line[:2] in ("$ ", "> "):
        return f'<span class="prompt">{escape(line[:2])}</span>{escape(line[2:])}\n'
    continued = before.endswith("\\")
    return f"{escape(line)}\n" if continued else f'<span class="output">{escape(line)}</span>\n'


def _anchor_headings(tokens: Sequence[Token]) -> Iterator[Heading]:
    taken: dict[str, int] = {}
    for opening, inline in pairwise(tokens):
        if opening.type != "heading_open":
            continue
        text = _text(inline)
        anchor = _NOT_IN_ANCHOR.sub("", text.lower()).replace(" ", "-")
        again = taken[anchor] = taken.get(anchor, -1) + 1
        opening.attrs["id"] = f"{anchor}-{again}" if again else anchor
        yield Heading(int(opening.tag[1:]), text, str(opening.attrs["id"]))


def _all(tokens: Sequence[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from _all(token.children or [])


def _text(inline: Token) -> str:
    return "".join(token.content for token in inline.children or [] if token.type in ("text", "code_inline"))


def _pages_in(children: Sequence[Token]) -> Iterator[tuple[str, str]]:
    for opening, text in pairwise(children):
        if opening.type == "link_open" and str(opening.attrs["href"]).endswith(".md"):
            yield text.content, str(opening.attrs["href"]).removesuffix(".md")


def _group_html(group: Group, here: str) -> str:
    marks = [' aria-current="page"' if page == here else "" for _, page in group.pages]
    items = "\n".join(
        f'<li><a href="{page}"{mark}>{escape(title)}</a></li>'
        for mark, (title, page) in zip(marks, group.pages, strict=True)
    )
    return f"<h2>{escape(group.title)}</h2>\n<ul>\n{items}\n</ul>"
