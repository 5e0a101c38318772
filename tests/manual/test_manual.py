"""The manual and the README are true: what they tell to type runs, links lead somewhere, and nothing is left out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urljoin

import pytest
import yaml
from tests.e2e.process import ServerProcess
from tests.manual.command_reference import command_reference
from tests.manual.configuration_reference import config_reference
from tests.manual.http_reference import http_reference
from tests.manual.metric_reference import metric_reference, own_metrics
from tests.manual.pages import MANUAL, PAGES, README, ROOT, Step, blocks, run_steps, steps, why_not_run

from chronotope.schema.config.config import Config, load_config
from chronotope.server.api.markdown import contents, read_page
from chronotope.server.cli.main import COMMANDS

GENERATED = "<!-- Made from the code. To renew it: pytest tests/manual/test_manual.py --update-golden -->\n"
KINDS = {"console", "sh", "yaml", "python", "json", "text", "sql", "promql"}
ELSEWHERE = re.compile(r"[a-z]+:")
LONGEST_README = 250
MOST_WORDS = 40
LARGEST_PICTURE = 150_000
PAGES_BY_NAME = {page.name: page for page in PAGES}


def named(pages: Iterator[Path]) -> list[str]:
    return [page.name for page in pages]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with all its parts: one that reads no metrics has no metrics of that."""
    config = tmp_path_factory.mktemp("manual") / "chronotope.yaml"
    config.write_text("metrics: {targets: [{url: 'http://127.0.0.1:9/metrics'}]}\n")
    with ServerProcess("chdb://memory", "--config", str(config)) as running:
        yield running


@pytest.mark.slow
@pytest.mark.skipif(bool(why_not_run()), reason=why_not_run() or "they can be run")
@pytest.mark.parametrize("name", named(page for page in PAGES if steps(page)))
def test_what_a_page_tells_to_type_runs(name: str, tmp_path: Path) -> None:
    failure = run_steps(steps(PAGES_BY_NAME[name]), tmp_path)
    assert failure is None, f"{name}: {failure.command}\n{failure.said}"


@pytest.mark.slow
@pytest.mark.skipif(bool(why_not_run()), reason=why_not_run() or "they can be run")
def test_a_command_that_fails_is_named_with_what_it_said(tmp_path: Path) -> None:
    """Else a page could be wrong and its test green."""
    wrong = [Step("echo fine"), Step("cat /tmp/nowhere"), Step("echo later")]
    failure = run_steps(wrong, tmp_path / "wrong")
    assert failure is not None
    assert failure.command == "cat /tmp/nowhere"
    assert "No such file" in failure.said
    other = run_steps([Step("echo one", printed="two")], tmp_path / "other")
    assert other is not None
    assert "one" in other.said


@pytest.mark.parametrize("name", named(iter(PAGES)))
def test_a_block_is_run_or_says_why_not(name: str) -> None:
    for block in blocks(PAGES_BY_NAME[name]):
        assert block.kind in KINDS, f"{block.kind!r} is no kind of block that readers or the test know"
        if block.kind == "sh":
            assert re.fullmatch(r"(not run|run): \S.*", block.comment, re.DOTALL), block.text
        if block.kind == "console":
            assert block.text.startswith("$ "), block.text


@pytest.mark.parametrize("name", named(page for page in PAGES if any(b.kind == "yaml" for b in blocks(page))))
def test_a_configuration_that_a_page_shows_is_accepted(name: str, tmp_path: Path) -> None:
    """A block is one of ours when all its sections are."""
    sections = {field.alias or key for key, field in Config.model_fields.items()}
    for number, block in enumerate(blocks(PAGES_BY_NAME[name])):
        if block.kind != "yaml":
            continue
        values = yaml.safe_load(block.text)
        if isinstance(values, dict) and values.keys() <= sections:
            path = tmp_path / f"{number}.yaml"
            path.write_text(block.text)
            load_config(path)


@pytest.mark.parametrize("name", named(iter(PAGES)))
def test_links_and_pictures_of_a_page_are_there(name: str) -> None:
    page = PAGES_BY_NAME[name]
    found = read_page(page.read_text("utf-8"))
    for target in [*found.links, *found.pictures]:
        if ELSEWHERE.match(target):
            continue
        path, _, anchor = target.partition("#")
        meant = page.parent / path if path else page
        assert meant.exists(), target
        assert page == README or meant.resolve().is_relative_to(MANUAL), f"{target} is not in the package"
        if anchor:
            assert anchor in [heading.anchor for heading in read_page(meant.read_text("utf-8")).headings], target


def test_the_table_of_contents_has_every_page_once() -> None:
    listed = [page for group in contents((MANUAL / "index.md").read_text("utf-8")) for _, page in group.pages]
    assert sorted(listed) == sorted(page.stem for page in MANUAL.glob("*.md") if page.stem != "index")


def test_every_link_leads_somewhere_over_http_too(server: ServerProcess) -> None:
    anchors: dict[str, set[str]] = {}
    wanted: set[str] = set()
    for page in ["", *(path.stem for path in MANUAL.glob("*.md"))]:
        here = f"/docs/{page}"
        answer = server.ask(here, None, {})
        assert answer.status == 200
        assert "script" not in answer.headers["Content-Security-Policy"]
        text = answer.body.decode()
        anchors[here] = set(re.findall(r' id="([^"]+)"', text))
        targets = re.findall(r' (?:href|src)="([^"]+)"', text)
        wanted |= {urljoin(here, target) for target in targets if not ELSEWHERE.match(target)}
    for target in sorted(wanted):
        path, _, anchor = target.partition("#")
        assert server.ask(path, None, {}).status == 200, target
        assert not anchor or anchor in anchors[path], target


def test_pictures_are_small() -> None:
    assert [path.name for path in MANUAL.glob("images/*") if path.stat().st_size > LARGEST_PICTURE] == []


def check_reference(page: str, made: str, update_golden: bool) -> None:
    path = MANUAL / page
    head, _, _ = path.read_text("utf-8").partition(GENERATED)
    wanted = f"{head}{GENERATED}\n{made}"
    if update_golden:
        path.write_text(wanted, "utf-8")
    assert path.read_text("utf-8") == wanted, f"{page} is not what the code says; --update-golden rewrites it"


@pytest.mark.parametrize(
    ("page", "made"),
    [
        ("reference-configuration.md", config_reference),
        ("reference-commands.md", command_reference),
        ("reference-metrics.md", metric_reference),
    ],
)
def test_a_reference_is_what_the_code_says(page: str, made: Callable[[], str], update_golden: bool) -> None:
    check_reference(page, made(), update_golden)


def test_the_reference_of_http_is_what_a_server_says(server: ServerProcess, update_golden: bool) -> None:
    check_reference("reference-http.md", http_reference(server.get("/api/v1/openapi.json")), update_golden)


def test_every_command_is_in_the_reference() -> None:
    text = (MANUAL / "reference-commands.md").read_text("utf-8")
    assert [name for name in COMMANDS if f"## chronotope {name}" not in text] == []


def test_every_metric_of_a_server_is_in_the_reference(server: ServerProcess) -> None:
    """The reference is read from the source; a running server knows what it really shows."""
    exposition = server.ask("/metrics", None, {}).body.decode()
    shown = set(re.findall(r"^# TYPE (chronotope_\w+) ", exposition, re.MULTILINE))
    shown = {name for name in shown if not name.endswith("_created")}
    assert len(shown) > 30
    assert shown - {metric.name for metric in own_metrics()} == set()


def test_the_glossary_has_at_most_forty_words() -> None:
    words = re.findall(r"^\| \*\*(.+?)\*\*", (MANUAL / "glossary.md").read_text("utf-8"), re.MULTILINE)
    assert 20 <= len(words) <= MOST_WORDS
    assert len(set(words)) == len(words)


def test_the_readme_is_short_and_names_the_two_commands() -> None:
    """The two are run from outside as they stand."""
    text = README.read_text("utf-8")
    assert len(text.splitlines()) <= LONGEST_README
    venv = "python3 -m venv .venv && .venv/bin/pip install --quiet"
    assert f"\n{venv} . && .venv/bin/chronotope demo --history 6h\n" in text
    assert f"\n{venv} --editable '.[test]' && .venv/bin/pytest\n" in text


def test_the_readme_leads_to_every_part_of_the_manual() -> None:
    links = read_page(README.read_text("utf-8")).links
    missing = [page.name for page in MANUAL.glob("*.md") if f"{MANUAL.relative_to(ROOT)}/{page.name}" not in links]
    assert missing == []
