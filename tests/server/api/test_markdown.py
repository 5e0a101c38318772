"""The manual's Markdown as HTML, and what `/docs/` sends of it."""

from __future__ import annotations

import re

import pytest
from flask.testing import FlaskClient

from chronotope.server.api.markdown import contents, html_page, read_page, served_link


def test_html_in_markdown_stays_text() -> None:
    body = read_page("a <script>alert(1)</script>\n\n<img src=x onerror=y>\n").body
    assert "<script" not in body
    assert "<img" not in body
    assert "&lt;script&gt;" in body


def test_a_comment_is_not_shown() -> None:
    assert "run" not in read_page("<!-- not run: a reason -->\n\nText <!-- run --> goes on.\n").body


def test_a_link_with_a_scheme_that_runs_is_no_link() -> None:
    assert "href" not in read_page("[x](javascript:alert(1))").body


def test_headings_get_the_anchors_of_git_hosts() -> None:
    page = read_page("# Two words\n\n## `GET /api/v1/x`, and more\n\n## Again\n\n## Again\n")
    assert [heading.anchor for heading in page.headings] == ["two-words", "get-apiv1x-and-more", "again", "again-1"]
    assert 'id="again-1"' in page.body


@pytest.mark.parametrize(
    ("written", "served"),
    [
        ("run-it.md", "run-it"),
        ("run-it.md#ports", "run-it#ports"),
        ("index.md", "./"),
        ("#here", "#here"),
        ("images/flow.svg", "images/flow.svg"),
        ("https://example.com/a.md", "https://example.com/a.md"),
    ],
)
def test_links_between_pages_lose_their_suffix(written: str, served: str) -> None:
    assert served_link(written) == served


def test_tables_are_aligned_without_inline_style() -> None:
    body = read_page("| a | b |\n| --- | ---: |\n| 1 | 2 |\n").body
    assert "style" not in body
    assert '<td class="right">2</td>' in body


def test_prompts_and_output_of_a_console_are_marked() -> None:
    body = read_page("```console\n$ echo \\\n  a\na\n```\n").body
    assert '<span class="prompt">$ </span>echo \\\n  a\n<span class="output">a</span>' in body


def test_the_navigation_marks_the_page_it_is_on() -> None:
    listed = contents("# M\n\n## Part\n\n- [One](one.md) – x\n- [Two](two.md)\n")
    html = html_page(read_page("# Two & more\n"), listed, "two", "manual.css")
    assert "<title>Two &amp; more · chronotope</title>" in html
    assert re.findall(r'<a href="(\w+)" aria-current="page">', html) == ["two"]


def test_a_page_is_there_with_and_without_its_suffix(client: FlaskClient) -> None:
    plain, suffixed = client.get("/docs/run-it"), client.get("/docs/run-it.md")
    assert (plain.status_code, plain.mimetype) == (200, "text/html")
    assert plain.data == suffixed.data
    assert client.get("/docs/").data == client.get("/docs/index").data
    assert client.get("/docs").headers["Location"].endswith("/docs/")


def test_the_built_in_page_leads_to_the_manual(client: FlaskClient) -> None:
    assert '<a id="manual" href="docs/">' in client.get("/").text


def test_no_page_may_run_or_load_anything(client: FlaskClient) -> None:
    answer = client.get("/docs/run-it")
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'self'; img-src 'self' data:;")
    assert "<script" not in answer.text
    assert " style=" not in answer.text
    assert client.get("/docs/images/flow.svg").mimetype == "image/svg+xml"
    assert client.get("/docs/manual.css").mimetype == "text/css"


@pytest.mark.parametrize(
    "path",
    [
        "nothing",
        "../settings.py",
        "images/../index.md",
        "%2e%2e/settings.py",
        "..%2fsettings.py",
        "images/",
        "/etc/passwd",
    ],
)
def test_what_is_not_in_the_manual_is_a_problem(client: FlaskClient, path: str) -> None:
    answer = client.get(f"/docs/{path}")
    assert answer.status_code == 404
    assert answer.mimetype == "application/problem+json"
