"""`chronotope rules check`: what it says, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.server.rules.history import BUCKETS, T0, write_traffic

from chronotope.schema.storage.store import Store
from chronotope.server.api.app import create_app
from chronotope.server.cli.main import main
from chronotope.server.evidence.settings import Settings

RULES = """
rules:
  - {name: any one, when: {forbidden: true}, window: 30s, severity: critical}
  - {name: never, match: {source: nobody}, when: {forbidden: true}}
"""
WINDOW = {"from": str(T0), "to": str(T0 + BUCKETS * 10)}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "rules.yaml").write_text(RULES)
    return tmp_path / "rules.yaml"


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with Store.open("chdb://memory") as opened:
        write_traffic(opened, 3)
        yield opened


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["rules", "check", *arguments], prog_name="chronotope")
    return done.exit_code, done.output


def test_it_says_how_often_rules_would_have_fired(store: Store, file: Path) -> None:
    window = ("--from", WINDOW["from"], "--to", WINDOW["to"], "--store", "chdb://memory")
    code, table = run(str(file), *window)
    assert code == 0
    assert "any one: judged every 10s" in table
    assert "×" in table
    code, body = run(str(file), *window, "--format", "json")
    client = create_app(store, Settings()).test_client()
    answer = client.post("/api/v1/rules/check", query_string=WINDOW, data=RULES)
    assert json.loads(body) == answer.json
    any_, never = answer.json["rules"]
    assert any_["fired"] > any_["subjects"] == any_["matched_edges"] > 10
    assert (never["fired"], never["first"], never["top"]) == (0, None, [])


def test_without_a_store_it_only_reads(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHRONOTOPE_STORE", raising=False)
    code, text = run(str(file))
    assert code == 0
    assert "2 rules are well formed" in text


def test_a_wrong_file_is_wrong_usage_with_its_line(file: Path) -> None:
    file.write_text(RULES.replace("forbidden: true", "forbidden: 7"))
    code, text = run(str(file))
    assert code == 2
    assert "rules.yaml:3: rules[0].when.forbidden: '7' stands here; accepted: true or false" in text


@pytest.mark.parametrize(
    ("query", "body", "status", "said"),
    [
        (WINDOW | {"from": "x"}, RULES, 400, "from 'x' is not a time"),
        ({"from": "2", "to": "1"}, RULES, 422, "is empty"),
        (WINDOW, "rules: [{name: a}]", 400, "rules:1: rules[0].when: is missing"),
        (WINDOW, "rules: [", 400, "this is not YAML"),
        (WINDOW, b"\xff\xfe\x00", 400, "UTF-8"),
        (WINDOW, "#" * 2_000_000, 413, "2000000 bytes"),
    ],
)
def test_the_route_refuses_by_name(store: Store, query: dict[str, str], body: str, status: int, said: str) -> None:
    client = create_app(store, Settings()).test_client()
    answer = client.post("/api/v1/rules/check", query_string=query, data=body)
    assert answer.status_code == status
    assert said in answer.json["detail"]
