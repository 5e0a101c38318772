from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from tests.manual.configuration_reference import config_reference

from chronotope.schema.config.config import Config, load_config
from chronotope.schema.errors import InvalidConfig

FULL = """
identities:
  - address: 10.0.0.0/8
    service: legacy
    namespace: shop
    kind: database
    from: 2026-01-01T00:00:00Z
    to: 2026-02-01T00:00:00Z
    attributes: {team: payments, version: 1.20}
  - {address: api.example, port: 443, service: partner}
aliases:
  shop/cart-v1: shop/cart-v2
  shop/cart-v2: shop/cart
trace:
  pairing_lifetime: 2h
  answer_wait: 30s
  entry_node: user
retention: {10s: 2d, 1m: 10d, 1h: 1000d, 1d: null, spans: 3h}
limits:
  max_body_bytes: 1048576
"""


def load(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "chronotope.yaml"
    path.write_text(text, "utf-8")
    return load_config(path)


def refusal(tmp_path: Path, text: str) -> str:
    """Return the error without the folder."""
    with pytest.raises(InvalidConfig) as caught:
        load(tmp_path, text)
    return str(caught.value).replace(f"{tmp_path}/", "")


def test_every_section_is_read(tmp_path: Path) -> None:
    config = load(tmp_path, FULL)
    legacy, partner = config.identities
    assert (legacy.address, legacy.port, legacy.service_id, legacy.kind) == ("10.0.0.0/8", 0, "shop/legacy", "database")
    assert (legacy.valid_from, legacy.valid_to) == (1767225600000, 1769904000000)
    assert legacy.attributes == {"team": "payments", "version": "1.20"}
    assert (partner.port, partner.service_id, partner.valid_to) == (443, "partner", None)
    assert (config.trace.pairing_lifetime, config.trace.answer_wait, config.trace.entry_node) == (7200, 30, "user")
    assert config.retention.kept_s(embedded=True) == {"10s": 172800, "1m": 864000, "1h": 86400000, "1d": None}
    assert config.spans_kept_s == 10800
    assert config.limits.max_body_bytes == 1048576


def test_alias_chains_are_followed_to_their_end(tmp_path: Path) -> None:
    assert load(tmp_path, FULL).final_aliases == {"shop/cart-v1": "shop/cart", "shop/cart-v2": "shop/cart"}


@pytest.mark.parametrize("text", ["", "# nothing\n", "trace:\n", "null"])
def test_empty_file_or_section_has_the_defaults(tmp_path: Path, text: str) -> None:
    assert load(tmp_path, text) == Config()


def test_server_forgets_by_default_and_an_embedded_store_never() -> None:
    day = 86400
    assert Config().retention.kept_s(embedded=False) == {"10s": 7 * day, "1m": 30 * day, "1h": 730 * day, "1d": None}
    assert set(Config().retention.kept_s(embedded=True).values()) == {None}
    assert Config().spans_kept_s == 3600


def test_coarse_default_is_never_shorter_than_a_fine_level_that_was_set(tmp_path: Path) -> None:
    retention = load(tmp_path, "retention: {10s: 60d}").retention
    assert retention.kept_s(embedded=False)["1m"] == 60 * 86400
    assert load(tmp_path, "retention: {1m: null}").retention.kept_s(embedded=False)["1h"] is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nrules: []", "chronotope.yaml:1: a: is not a known key; accepted here: identities, aliases, "),
        ("\ntracs: {}", "chronotope.yaml:2: tracs: is not a known key; did you mean trace? accepted here:"),
        (
            "trace:\n  answer_wate: 1s",
            "chronotope.yaml:2: trace.answer_wate: is not a known key; did you mean answer_wait? "
            "accepted here: pairing_lifetime, answer_wait, entry_node",
        ),
        (
            "identities:\n  - address: 10.0.0.1\n    service: a\n    prot: 80",
            "chronotope.yaml:4: identities[0].prot: is not a known key; did you mean port?",
        ),
        ("identities:\n - service: a", "chronotope.yaml:2: identities[0].address: is missing; it is required"),
        (
            "identities:\n - {address: a, service: b}\n - address: 10.0.0.0/40\n   service: a",
            "chronotope.yaml:3: identities[1].address: address '10.0.0.0/40' is not a network; use CIDR",
        ),
        ("identities: [{address: a, service: b, port: web}]", "port: 'web' stands here; accepted: a whole number"),
        ("identities: [{address: a, service: b, port: 70000}]", "'70000' is out of range; accepted: at most 65535"),
        ("identities: [{address: a, service: b, kind: db}]", "kind: 'db' is not known; accepted: service, database"),
        ("identities: [{address: a, service: b, from: now-1h}]", "from: 'now-1h' is relative to a moment"),
        ("identities: [{address: a, service: b, from: 2026}, 5]", "accepted: a mapping with the keys address, port"),
        (
            "identities:\n - address: a\n   service: b\n   from: 2026-01-01T00:00:00Z\n   to: 2025-01-01T00:00:00Z",
            "chronotope.yaml:5: identities[0].to: must be later than `from`",
        ),
        ("identities: {}", "identities: a mapping stands here; accepted: a list"),
        ("aliases: {a: b, b: a}", "aliases.a: runs in a circle: a → b → a"),
        ("aliases: {a: }", "aliases.a: nothing stands here; accepted: text"),
        ("trace:\n  pairing_lifetime: soon", ":2: trace.pairing_lifetime: 'soon' is not a duration; accepted: a whole"),
        ("trace: {answer_wait: 2h}", "trace.answer_wait: must not be longer than `trace.pairing_lifetime`"),
        ("trace: {entry_node: yes}", "'yes' is not known; accepted: none or user"),
        ("trace: 5", "trace: '5' stands here; accepted: a mapping with the keys pairing_lifetime"),
        ("retention:\n  10s: 100y", "10s: '100y' is not a duration"),
        ("retention: {10s: 21000d}", "retention.10s: longer than 20 years; write null to keep it for ever"),
        ("retention: {10s: 8d, 1m: 7d}", "retention.1m: must not be kept for a shorter time than `retention.10s`"),
        ("retention:\n  spans: 30m", ":2: retention.spans: must not be shorter than `trace.pairing_lifetime`"),
        ("limits: {max_body_bytes: 5}", "limits.max_body_bytes: '5' is out of range; accepted: at least 1024"),
        ("- a", "chronotope.yaml:1: a configuration is a mapping of sections"),
        ("trace: {}\ntrace: {}", "chronotope.yaml:2: trace: stands here a second time (first on line 1)"),
        ("a: [", "this is not YAML"),
        ("trace: &a {x: *a}", "nested deeper than 20 levels"),
        ("? [a]\n: b", "a key is text"),
        ("a: \x00", "this is not YAML"),
    ],
)
def test_error_names_file_line_key_and_what_would_be_accepted(tmp_path: Path, text: str, message: str) -> None:
    assert message in refusal(tmp_path, text)


def test_first_error_by_line_is_told_with_how_many_follow(tmp_path: Path) -> None:
    text = "limits: {max_body_bytes: x}\ntrace: {entry_node: x}\nretention: {1m: x}"
    message = refusal(tmp_path, text)
    assert message.startswith("chronotope.yaml:1: limits.max_body_bytes:")
    assert message.endswith("(and 2 more errors below)")


def test_file_that_cannot_be_read_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="cannot be read: No such file"):
        load_config(tmp_path / "missing.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(InvalidConfig, match="not UTF-8"):
        load_config(tmp_path / "bytes.yaml")


def test_reference_names_every_key_of_the_full_example() -> None:
    reference = config_reference()
    for section, values in yaml.safe_load(FULL).items():
        assert f"`{section}`" in reference
        for entry in values if isinstance(values, list) else [values]:
            if section != "aliases":
                assert all(f"| `{key}` |" in reference for key in entry)
    assert "| `answer_wait` | `1m` |" in reference
