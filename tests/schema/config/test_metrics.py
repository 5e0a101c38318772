"""The section `metrics:` says what is wrong by file, line and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from chronotope.schema.config.config import load_config
from chronotope.schema.config.metrics import PRESETS
from chronotope.schema.errors import InvalidConfig

MAPPING = """
metrics:
  mappings:
    - name: own
      source: {name: "{client}"}
      target: {name: ["{server}", "{host}"]}
      families:
        own_requests_total: {measure: calls, errors: {code: "5.."}}
"""


def refusal(tmp_path: Path, text: str) -> str:
    path = tmp_path / "chronotope.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(InvalidConfig) as caught:
        load_config(path)
    return str(caught.value).replace(f"{tmp_path}/", "")


def test_own_mapping_is_read_and_every_preset_is_used_by_default(tmp_path: Path) -> None:
    path = tmp_path / "chronotope.yaml"
    path.write_text(MAPPING, "utf-8")
    metrics = load_config(path).metrics
    assert metrics.presets == list(PRESETS)
    assert metrics.mappings[0].target.name == ["{server}", "{host}"]
    assert metrics.mappings[0].families["own_requests_total"].errors == {"code": ["5.."]}


@pytest.mark.parametrize(
    ("wrong", "right", "message"),
    [
        ("{client}", "{client", "chronotope.yaml:5: metrics.mappings[0].source.name[0]: '{client' is no template"),
        (
            "{client}",
            "{client!r}",
            "chronotope.yaml:5: metrics.mappings[0].source.name[0]: '{client!r}' is no template",
        ),
        (
            "5..",
            "5(",
            "chronotope.yaml:8: metrics.mappings[0].families.own_requests_total.errors.code[0]: '5(' is no reg",
        ),
        (
            "measure: calls",
            "measure: count",
            "chronotope.yaml:8: metrics.mappings[0].families.own_requests_total.measure: 'count' is not known",
        ),
        (
            "errors: {",
            "error: {",
            "chronotope.yaml:8: metrics.mappings[0].families.own_requests_total.error: is not a known key; did you",
        ),
        (
            'target: {name: ["{server}", "{host}"]}',
            "target: {kind: database}",
            "chronotope.yaml:6: metrics.mappings[0].target: says nothing of who is called",
        ),
    ],
)
def test_wrong_mapping_is_refused_with_file_line_and_key(tmp_path: Path, wrong: str, right: str, message: str) -> None:
    assert wrong in MAPPING
    assert refusal(tmp_path, MAPPING.replace(wrong, right)).startswith(message)


def test_unknown_preset_and_url_without_scheme_are_refused(tmp_path: Path) -> None:
    assert "'mesh' is not known; accepted: istio" in refusal(tmp_path, "metrics: {presets: [mesh]}")
    assert "accepted: http://host:port" in refusal(tmp_path, "metrics: {prometheus: [{url: localhost}]}")
