from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from flask import Blueprint, Flask
from hypothesis import HealthCheck, given, settings
from schemathesis.config import (
    ChecksConfig,
    PositiveDataAcceptanceConfig,
    ProjectConfig,
    ProjectsConfig,
    SchemathesisConfig,
)
from schemathesis.generation import GenerationMode

from chronotope.schema.storage.store import Store
from chronotope.server.api.app import create_app
from chronotope.server.api.writing import WRITING
from chronotope.server.evidence.settings import Settings

NOW_MS = 1_702_598_400_000
GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "openapi.json"


def document(app: Flask) -> dict[str, Any]:
    answer: dict[str, Any] = app.test_client().get("/api/v1/openapi.json").json
    return answer


def test_the_document_of_all_routes_is_the_golden_one(history: Store, update_golden: bool) -> None:
    """A review sees how the contract changes, not only the code."""
    receivers = Blueprint("receivers", __name__)
    for path in WRITING:
        receivers.add_url_rule(path, path.replace("/", "_"), lambda: "", methods=["POST"])
    found = document(create_app(history, Settings(), blueprints=[receivers]))
    found["info"]["version"] = "0"
    text = json.dumps(found, indent=1, ensure_ascii=False) + "\n"
    if update_golden:
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8")


def test_every_route_is_described_and_no_other(app: Flask) -> None:
    rules = {
        rule.rule.replace("<path:", "{").replace(">", "}")
        for rule in app.url_map.iter_rules()
        if not rule.rule.startswith("/page.")
    }
    assert set(document(app)["paths"]) == rules


def test_a_blueprint_of_another_room_describes_its_own_routes(history: Store) -> None:
    other = Blueprint("other", __name__)
    other.add_url_rule("/other", "other", lambda: "")
    other.openapi = {"/other": {"get": {"responses": {"200": {"description": "Other."}}}}}  # type: ignore[attr-defined]
    assert "/other" in document(create_app(history, Settings(), blueprints=[other]))["paths"]


@pytest.fixture(scope="module")
def api(history: Store) -> Any:
    # The checks read bodies as they are, so they are not to be compressed.
    app = create_app(history, Settings(clock=lambda: NOW_MS, compress_from_bytes=10**9))
    # A time before 1970 or an empty window is valid by its form; 422 says that it cannot be answered.
    accepted = PositiveDataAcceptanceConfig(expected_statuses=["2xx", "404", "422"])
    project = ProjectConfig(checks=ChecksConfig(positive_data_acceptance=accepted))
    config = SchemathesisConfig(projects=ProjectsConfig(default=project))
    return schemathesis.openapi.from_wsgi("/api/v1/openapi.json", app, config=config)


PATHS = sorted(path for path, item in json.loads(GOLDEN.read_text(encoding="utf-8"))["paths"].items() if "get" in item)


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize("path", PATHS)
def test_whatever_is_asked_the_answer_is_as_described(api: Any, path: str, mode: GenerationMode) -> None:
    """Valid and invalid questions: each answer has a described status, type and form, and never an error of ours."""
    operation = api[path]["GET"]
    if mode is GenerationMode.NEGATIVE and not operation.definition.raw["parameters"]:
        return

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(max_examples=20, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def ask(case: schemathesis.Case) -> None:
        case.call_and_validate()

    ask()


@pytest.mark.parametrize("path", PATHS)
def test_another_method_is_refused_with_what_is_allowed(app: Flask, path: str) -> None:
    answer = app.test_client().delete(path.replace("{service}", "a").replace("{edge}", "b"))
    assert answer.status_code == 405
    assert "GET" in answer.headers["Allow"]
    assert answer.content_type == "application/problem+json"
