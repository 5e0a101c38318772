"""The splitter against json.loads, for any document and any cutting of it into blocks."""

from __future__ import annotations

import json
import tracemalloc
from itertools import repeat
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chronotope.ingest.files.json_elements import MalformedJson, split_elements

ALPHABET = 'ab"\\[]{},:é \n\t'
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(ALPHABET),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ad" + ALPHABET), inner, max_size=4),
    max_leaves=12,
)
SPACING = st.sampled_from([None, 0, 2])


def cut(text: bytes, size: int) -> list[bytes]:
    return [text[start : start + size] for start in range(0, len(text), size)]


def split(text: bytes, size: int, wrapper: str | None = None) -> list[Any]:
    return [json.loads(element or b"") for element in split_elements(cut(text, size), wrapper)]


@settings(max_examples=150)
@given(st.lists(VALUES), st.integers(1, 9), SPACING, st.booleans())
def test_elements_of_an_array_are_those_json_finds(
    values: list[Any], size: int, indent: int | None, ascii_only: bool
) -> None:
    assert split(json.dumps(values, indent=indent, ensure_ascii=ascii_only).encode(), size) == values


@settings(max_examples=150)
@given(st.lists(VALUES), VALUES, st.integers(1, 9), SPACING)
def test_elements_under_a_key_are_found_beside_other_members(
    values: list[Any], other: Any, size: int, indent: int | None
) -> None:
    document = {"before": other, "data": values, "after": other}
    text = json.dumps(document, indent=indent).encode()
    assert split(text, size, "data") == values
    assert split(text + b"\n" + text, size, "data") == values * 2


@given(VALUES, st.integers(1, 9))
def test_a_key_further_down_is_not_the_wrapper(value: Any, size: int) -> None:
    document = {"x": {"data": [value]}, "data ": [value]}
    assert split(json.dumps(document).encode(), size, "data") == [document]


@settings(max_examples=500)
@given(st.binary(max_size=60) | st.text('[]{},:" \\a').map(str.encode), st.integers(1, 9))
def test_junk_gives_the_same_elements_and_fault_however_it_is_cut(text: bytes, size: int) -> None:
    def gathered(size: int) -> list[object]:
        found: list[object] = []
        try:
            for element in split_elements(cut(text, size), "a"):
                found.append(element)
        except MalformedJson:
            found.append("malformed")
        return found

    assert gathered(size) == gathered(1000)


@pytest.mark.parametrize("text", [b"[1, 2", b'{"a": 1', b'["a', b"[1]]", b"[1}", b"nonsense", b"[1] x"])
def test_malformed_text_is_said_to_be_so(text: bytes) -> None:
    with pytest.raises(MalformedJson):
        list(split_elements([text]))


def test_a_byte_order_mark_is_let_pass() -> None:
    assert split(b"\xef\xbb\xbf[1,2]", 2) == [1, 2]


def test_an_element_over_the_limit_is_let_pass_in_flat_memory() -> None:
    """64 MB in one string, a limit of 1 MB: the next elements are found, and the memory stays small."""
    huge = repeat(b"x" * 65_536, 1000)
    parts = [[b'[1,"'], huge, [b'",2]']]
    tracemalloc.start()
    elements = list(split_elements((block for part in parts for block in part), None, 1 << 20))
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert elements == [b"1", None, b"2"]
    assert peak_bytes < 8 << 20


def test_many_colons_after_a_long_member_cost_linear_time() -> None:
    """The key of a member is read once; else each colon would join what is held again."""
    blocks = [b'{"a"' + b" " * 1_000_000, b":" * 300_000, b'1,"data":[7]}']
    assert list(split_elements(blocks, "data")) == [b"7"]
