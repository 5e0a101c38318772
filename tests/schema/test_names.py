"""Names: fit to print, different when the texts were, and one edge id in Python and in SQL."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from chronotope.schema.names import MAX_NAME, clean_name, edge_id, service_id, split_service_id
from chronotope.schema.observations import observation_table
from chronotope.schema.storage.store import Store

HOSTILE = [
    "a",
    "'; DROP TABLE edges_10s; --",
    '"`\\',
    "\\0\\n\\x00",
    "{source:String}",
    "${HOME} %s %n",
    "ü/ж/日本/🦆",
    "e\u0301 is not é",
    "\u202eright to left",
    "x" * MAX_NAME,
    "ж" * MAX_NAME,
    " ",
    "",
]


def test_edge_ids_are_those_that_sql_computes(any_store: Store) -> None:
    sources, targets = HOSTILE, [*HOSTILE[1:], HOSTILE[0]]
    protocols = [name[::-1] for name in HOSTILE]
    columns = {"time": [1_700_000_000] * len(sources), "layer": "trace", "source": sources, "target": targets}
    any_store.insert("observations", observation_table({**columns, "protocol": protocols, "calls": 1}))
    rows = any_store.rows("SELECT source, target, protocol, id FROM edge_lifetimes")
    assert len(rows) == len(sources)
    for source, target, protocol, found in rows:
        assert found == edge_id(source, target, protocol)
    assert {row[:3] for row in rows} == set(zip(sources, targets, protocols, strict=True))


def test_edge_id_is_the_same_for_ever() -> None:
    assert edge_id("a", "b", "http") == "fc0be30f14f75f30"


@given(st.text())
def test_clean_names_are_short_printable_and_stay_as_they_are(text: str) -> None:
    name = clean_name(text)
    assert len(name) <= MAX_NAME
    assert clean_name(name) == name == name.strip()
    assert not any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in name)
    name.encode()


@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Z"]), max_size=MAX_NAME))
def test_names_without_fault_are_not_touched(text: str) -> None:
    assert clean_name(text) == text


@given(st.text("ab", min_size=MAX_NAME + 1, max_size=400), st.text("ab", min_size=MAX_NAME + 1, max_size=400))
def test_long_names_stay_different(one: str, other: str) -> None:
    assume(one != other)
    assert clean_name("x" * 300 + one) != clean_name("x" * 300 + other)


@pytest.mark.parametrize("text", ["a\0b", "a\nb", "a\x7fb", "a\x85b", "a\u2028b", "a\ud800b"])
def test_control_characters_become_the_replacement_character(text: str) -> None:
    assert clean_name(text) == "a\ufffdb"


@given(st.text(), st.text())
def test_service_id_is_split_into_what_it_was_made_of(name: str, namespace: str) -> None:
    assume("/" not in namespace)
    assume(clean_name(name) and (clean_name(namespace) or "/" not in name))
    assert split_service_id(service_id(name, namespace)) == (clean_name(namespace), clean_name(name))


@pytest.mark.parametrize("namespace", ["", "shop"])
@pytest.mark.parametrize("name", ["", " ", "  \u00a0"])
def test_no_name_is_no_service(name: str, namespace: str) -> None:
    assert service_id(name, namespace) == ""
