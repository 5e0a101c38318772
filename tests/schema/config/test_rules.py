"""The section `rules:` says what is wrong by file, line and key; so does a file of rules alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from chronotope.schema.config.config import load_config
from chronotope.schema.config.rules import load_rules
from chronotope.schema.errors import InvalidConfig

RULES = """
rules:
  - name: only billing calls the ledger
    match:
      target: ledger
      not: {source: [billing, "ops/*"]}
    when: {forbidden: true}
  - name: errors
    match: {layer: trace, source_attributes: {team: checkout}}
    when: {error_ratio: {above: 5%}}
    for: 2m
    labels: {team: "{source_namespace}"}
    annotations: {summary: "{source} {value}"}
  - name: slow
    when: {latency: {quantile: 0.99, above_ms: 250}}
  - name: hub
    when: {fan_out: {above: 20}}
"""


@pytest.mark.parametrize("load", [load_rules, lambda path: load_config(path).rules])
def test_rules_are_read_from_a_file_of_their_own_and_from_a_configuration(tmp_path: Path, load: object) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    ledger, errors, slow, hub = load(path)  # type: ignore[operator]
    assert ledger.match.exclude[0].source == ["billing", "ops/*"]
    assert (errors.when.error_ratio.above, errors.hold_s, errors.window) == (0.05, 120, 300)
    assert errors.match.source_attributes == {"team": ["checkout"]}
    assert (slow.when.name, hub.when.name, slow.severity) == ("latency", "fan_out", "warning")


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("{forbidden: true}", "{}", "7: rules[0].when: needs exactly one of the keys new, vanished,"),
        (
            "{forbidden: true}",
            "{forbidden: true, new: true}",
            "7: rules[0].when: needs exactly one .*; new, forbidden st",
        ),
        (
            "{forbidden: true}",
            "{forbiden: true}",
            r"7: rules[0].when.forbiden: is not a known key; did you mean forbid",
        ),
        ("5%", "five", "10: rules[1].when.error_ratio.above: 'five' stands here; accepted: a number, or a share"),
        ("above: 5%", "above: 5%, below: 1%", "10: rules[1].when.error_ratio: needs one of the keys above, below"),
        ("for: 2m", "for: soon", "11: rules[1].for: 'soon' is not a duration"),
        ("{source_namespace}", "{value}", r"12: rules[1].labels.team: holds {value}, which changes while an alert"),
        ('{team: "{source_n', '{severity: "{source_n', "12: rules[1].labels.severity: is set by the server"),
        ("{source} {value}", "{source.name}", r"13: rules[1].annotations.summary: '{source.name}' holds {source.name}"),
        ("{source} {value}", "{source!r}", r"13: rules[1].annotations.summary: '{source!r}' holds"),
        ("{source} {value}", "{source", r"13: rules[1].annotations.summary: '{source' is no template"),
        ("0.99", "99", "15: rules[2].when.latency.quantile: '99' is out of range; accepted: less than 1"),
        ("name: hub", "name: slow", "16: rules[3].name: 'slow' is the name of an earlier rule"),
        ("above: 20", "below: 20", "17: rules[3].when.fan_out.below: cannot be told"),
        ('not: {source: [billing, "ops/*"]}', "not: {}", "6: rules[0].match.not[0]: has no key"),
        ("target: ledger", "target: ''", "5: rules[0].match.target[0]: '' is no pattern"),
        ("layer: trace", "layer: traces", "9: rules[1].match.layer[0]: 'traces' is not known; accepted: network"),
    ],
)
def test_what_is_wrong_is_said_with_line_and_key(tmp_path: Path, right: str, wrong: str, message: str) -> None:
    assert right in RULES
    path = tmp_path / "rules.yaml"
    path.write_text(RULES.replace(right, wrong))
    for load in (load_rules, load_config):
        with pytest.raises(InvalidConfig) as caught:
            load(path)
        said = str(caught.value).removeprefix(f"{path}:")
        before, _, after = message.partition(".*")
        assert said.startswith(before)
        assert after in said


def test_a_file_without_rules_is_no_file_of_rules(tmp_path: Path) -> None:
    path = tmp_path / "other.yaml"
    path.write_text("retention: {10s: 1d}\n")
    with pytest.raises(InvalidConfig, match="holds no rules"):
        load_rules(path)


@pytest.mark.parametrize(
    ("delivery", "message"),
    [
        ("{webhooks: [{url: hooks.example}]}", "delivery.webhooks[0].url: 'hooks.example' is not an address"),
        ("{webhooks: [{url: 'http://u:p@h/'}]}", "delivery.webhooks[0].url: holds a password"),
        ("{webhooks: [{url: 'http://h', secret: a, secret_file: b}]}", "webhooks[0].secret_file: stands beside"),
        ("{alertmanagers: [{url: 'http://h'}, {url: 'http://h'}]}", "delivery.alertmanagers[1]: 'h' is an earlier"),
        ("{resend: 1s}", "delivery.resend: '1' is out of range; accepted: at least 5"),
    ],
)
def test_receivers_are_checked_and_secrets_not_shown(tmp_path: Path, delivery: str, message: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(f"delivery: {delivery}\n")
    with pytest.raises(InvalidConfig) as caught:
        load_config(path)
    assert message in str(caught.value)
    assert "u:p" not in str(caught.value)
