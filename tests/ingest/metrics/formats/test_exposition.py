"""Exposition text: what prometheus_client reads, we read; what nobody can read is counted or refused."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from tests.conftest import ROOT

from chronotope.ingest.metrics.counters.columns import Samples, SeriesTable, sorted_labels
from chronotope.ingest.metrics.formats.exposition import ExpositionParser, is_openmetrics
from chronotope.schema.errors import InvalidPayload

NOW_MS = 1_700_000_000_000


def read(body: str | bytes, **options: Any) -> tuple[list[tuple[str, dict[str, str], float, int]], ExpositionParser]:
    """Return the samples of a body as rows, and the parser that read them."""
    openmetrics = options.pop("openmetrics", False)
    parser = ExpositionParser(SeriesTable(), **options)
    samples = parser.parse(body.encode() if isinstance(body, str) else body, NOW_MS, openmetrics=openmetrics)
    return rows_of(parser.table, samples), parser


def rows_of(table: SeriesTable, samples: Samples) -> list[tuple[str, dict[str, str], float, int]]:
    columns = zip(samples.series.tolist(), samples.value.tolist(), samples.time_ms.tolist(), strict=True)
    return [(table.names[code], table.labels[code], value, time_ms) for code, value, time_ms in columns]


def test_a_line_gives_name_labels_value_and_time() -> None:
    rows, parser = read('# TYPE calls counter\ncalls_total{code="200",to="cart"} 7 1700000000123\nup 1\n')
    assert rows == [
        ("calls_total", {"code": "200", "to": "cart"}, 7.0, 1700000000123),
        ("up", {}, 1.0, NOW_MS),
    ]
    assert parser.table.type_of("calls_total") == "counter"
    assert parser.table.type_of("up") == "unknown"
    assert not parser.skipped


def test_openmetrics_has_seconds_exemplars_and_an_end() -> None:
    body = 'a_total{x="y"} 3 1700000000.5 # {trace_id="abc"} 0.67 1700000000.1\nb 1 # {} 2\n# EOF\n'
    rows, parser = read(body, openmetrics=True)
    assert rows == [("a_total", {"x": "y"}, 3.0, 1700000000500), ("b", {}, 1.0, NOW_MS)]
    assert not parser.skipped


def test_what_follows_the_end_of_openmetrics_is_refused() -> None:
    rows, parser = read("a 1\n# EOF\nb 2\n", openmetrics=True)
    assert [row[0] for row in rows] == ["a"]
    assert parser.skipped == {"after_eof": 1}


def test_a_hash_in_a_label_is_no_exemplar() -> None:
    rows, _ = read('a{x="y } # {z"} 3\n# EOF', openmetrics=True)
    assert rows == [("a", {"x": "y } # {z"}, 3.0, NOW_MS)]


@pytest.mark.parametrize(
    ("text", "meaning"),
    [(r"a\\b", "a\\b"), (r"a\"b", 'a"b'), (r"a\nb", "a\nb"), (r"a\tb", r"a\tb"), (r"\\n", r"\n"), ("ü€𝄞", "ü€𝄞")],
)
def test_escapes_are_those_of_prometheus(text: str, meaning: str) -> None:
    rows, _ = read(f'a{{x="{text}"}} 1\n')
    assert rows[0][1] == {"x": meaning}


def test_utf8_names_stand_in_quotes() -> None:
    rows, parser = read('# TYPE "http.calls" counter\n{"http.calls","url.path"="/","b"="c"} 2\n')
    assert rows == [("http.calls", {"url.path": "/", "b": "c"}, 2.0, NOW_MS)]
    assert parser.table.type_of("http.calls") == "counter"


@pytest.mark.parametrize(
    "text", ["1", "-1.5", "+0.1", "1e3", "1E-7", "12345678901234567890", "0.1234567890123456789", "1e400", "5e-324"]
)
def test_values_are_the_doubles_that_python_reads(text: str) -> None:
    rows, _ = read(f"a {text}\n")
    assert rows[0][2] == float(text)


@pytest.mark.parametrize("text", ["NaN", "nan", "+Inf", "-inf", "Infinity"])
def test_values_that_are_no_numbers_are_read(text: str) -> None:
    rows, _ = read(f"a {text}\nb 1\n")
    assert rows[0][2] == float(text) or math.isnan(rows[0][2])


@settings(max_examples=300, deadline=None)
@given(st.floats() | st.decimals(allow_nan=False, allow_infinity=False) | st.integers(-(10**30), 10**30))
def test_every_number_is_read_exactly(number: Any) -> None:
    text = str(number)
    rows, _ = read(f"a {text}\n")
    assert rows[0][2] == float(text) or (math.isnan(rows[0][2]) and math.isnan(float(text)))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'a{x="y" 1', "bad_syntax"),
        (b'a{x="y} 1', "bad_syntax"),
        (b"a", "bad_syntax"),
        (b"a{} ", "bad_syntax"),
        (b"a 1 2 3", "bad_syntax"),
        (b"a 1_0", "bad_value"),
        (b"a 0x10", "bad_value"),
        (b"a 1..2", "bad_value"),
        (b"a one", "bad_value"),
        (b"a 1e", "bad_value"),
        (b"a 1 x", "bad_timestamp"),
        (b"a 1 -5", "bad_timestamp"),
        (b"a 1 99999999999999", "bad_timestamp"),
        (b"a 1 NaN", "bad_timestamp"),
        (b"a 1 123456789012345678901234", "bad_timestamp"),
        (b'a{x="y",x="z"} 1', "duplicate_label"),
        (b'a{1x="y"} 1', "bad_series"),
        (b"a.b 1", "bad_series"),
        (b'{x="y"} 1', "bad_series"),
        (b'a{"b"} 1', "bad_series"),
        (b"a{x=y} 1", "bad_series"),
        (b'a{__name__="b"} 1', "bad_series"),
        (b'a{x="y"}z 1', "bad_value"),
        (b'a{x="\xff"} 1', "bad_utf8"),
        (b"\x00 1", "bad_series"),
        (b'a{x="' + b"y" * 70_000 + b'"} 1', "line_too_long"),
        (b"a{" + b",".join(b'l%d="v"' % i for i in range(129)) + b"} 1", "label_limit"),
    ],
)
def test_a_bad_line_is_refused_alone(line: bytes, reason: str) -> None:
    rows, parser = read(b"good 1\n" + line + b"\nalso_good 2\n")
    assert [row[0] for row in rows] == ["good", "also_good"]
    assert parser.skipped == {reason: 1}


def test_a_line_without_its_newline_is_never_half_a_number() -> None:
    rows, parser = read("a 1234\nb 12")
    assert [row[0] for row in rows] == ["a"]
    assert parser.skipped == {"cut_line": 1}


def test_a_body_known_to_be_complete_may_end_without_a_newline() -> None:
    parser = ExpositionParser(SeriesTable())
    samples = parser.parse(b"a 1234\nb 12", NOW_MS, complete=True)
    assert samples.value.tolist() == [1234.0, 12.0]


@pytest.mark.parametrize(
    "body", [b"<html><body>404</body></html>\n", b'{"a": 1}\n', b"\xff\xfe\x00\n", b"x" * 100_000, b"a", b"\n\x00\n"]
)
def test_what_is_no_exposition_at_all_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidPayload, match="not an exposition"):
        read(body)


@pytest.mark.parametrize("body", [b"", b"\n\n", b"# HELP a b\n", b"# EOF\n", b"# anything\n", b"\r\n"])
def test_an_exposition_may_be_empty(body: bytes) -> None:
    assert read(body)[0] == []


def test_windows_line_ends_and_blanks_are_no_harm() -> None:
    rows, parser = read(' a { x = "y" , } \t 1 \r\n\tb   2   5\r\n')
    assert rows == [("a", {"x": "y"}, 1.0, NOW_MS), ("b", {}, 2.0, 5)]
    assert not parser.skipped


def test_a_ten_megabyte_line_costs_no_more_than_its_bytes() -> None:
    body = b'a{x="' + b"y" * 10_000_000 + b'"} 1\ngood 1\n'
    rows, parser = read(body)
    assert [row[0] for row in rows] == ["good"]
    assert parser.skipped == {"line_too_long": 1}


def test_a_label_bomb_takes_no_more_than_its_limit() -> None:
    body = "".join(f'a{{id="{i}"}} 1\n' for i in range(3000))
    rows, parser = read(body, max_series=1000)
    assert len(rows) == 1000
    assert len(parser.table) == 1000
    assert parser.skipped == {"series_limit": 2000}


def test_a_full_table_refuses_new_series_and_keeps_the_old() -> None:
    parser = ExpositionParser(SeriesTable(max_series=2))
    for _ in range(2):
        samples = parser.parse(b"a 1\nb 2\nc 3\n", NOW_MS)
        assert samples.value.tolist() == [1.0, 2.0]
    assert parser.skipped == {"series_limit": 2}


def test_series_keep_their_code_over_scrapes_and_spellings() -> None:
    parser = ExpositionParser(SeriesTable())
    first = parser.parse(b'a{x="1",y="2"} 1\n', NOW_MS)
    again = parser.parse(b'a{y="2",x="1",z=""} 2\na{x="1",y="2"} 3\n', NOW_MS)
    assert len(parser.table) == 1
    assert set(first.series) == set(again.series) == {0}
    assert again.value.tolist() == [2.0, 3.0]


def test_target_labels_win_and_the_series_own_are_exported() -> None:
    rows, _ = read('a{job="own",x="y"} 1\n', target_labels={"job": "ours", "instance": "h:1"})
    assert rows[0][1] == {"job": "ours", "instance": "h:1", "exported_job": "own", "x": "y"}


def test_metrics_that_nobody_wants_take_no_memory_and_are_counted() -> None:
    body = b'a_total{i="1"} 1\na_created{i="1"} 5\nb 1\nb 2\n'
    rows, parser = read(body, wanted=lambda name: name == "a_total")
    assert [row[0] for row in rows] == ["a_total", "a_created"]
    assert (parser.ignored, len(parser.table), parser.skipped.total()) == (2, 2, 0)


def test_more_rows_than_a_block_come_in_order() -> None:
    body = "".join(f'a{{i="{i % 700}"}} {i}\n' for i in range(150_000)).encode()
    parser = ExpositionParser(SeriesTable())
    samples = parser.parse(body, NOW_MS)
    assert np.array_equal(samples.value, np.arange(150_000.0))
    assert np.array_equal(samples.series, np.arange(150_000) % 700)


def test_texts_that_do_not_come_again_are_forgotten() -> None:
    parser = ExpositionParser(SeriesTable())
    for generation in range(12):
        body = "".join(f'a{{g="{generation}",i="{i}"}} 1\n' for i in range(900)).encode()
        assert len(parser.parse(body, NOW_MS)) == 900
    assert parser._cache.entries < 8 * 1024


def test_a_compacted_table_takes_new_series() -> None:
    table = SeriesTable(max_series=3)
    parser = ExpositionParser(table)
    parser.parse(b"a 1\nb 2\nc 3\n", NOW_MS)
    assert table.compact(np.array([False, True, False])).tolist() == [-1, 0, -1]
    parser.forget()
    samples = parser.parse(b"b 2\nd 4\n", NOW_MS)
    assert [row[0] for row in rows_of(table, samples)] == ["b", "d"]
    assert table.code("b", ()) == 0


def test_content_types_say_which_format_it_is() -> None:
    assert is_openmetrics("application/openmetrics-text; version=1.0.0; charset=utf-8")
    assert not is_openmetrics("text/plain; version=0.0.4")


def oracle(text: str, *, openmetrics: bool = False) -> list[tuple[str, dict[str, str], float, int]]:
    parse: Any = parse_openmetrics if openmetrics else parse_text
    return [
        (
            sample.name,
            dict(sorted_labels(sample.labels)),
            float(sample.value),
            NOW_MS if sample.timestamp is None else round(float(sample.timestamp) * 1000),
        )
        for family in parse(text)
        for sample in family.samples
    ]


def comparable(rows: list[tuple[str, dict[str, str], float, int]]) -> list[str]:
    """Return rows in an order; prometheus_client ends the name of every declared counter in `_total`."""
    return sorted(
        repr((name.removesuffix("_total"), sorted(labels.items()), value, time_ms))
        for name, labels, value, time_ms in rows
    )


NAMES = st.from_regex(r"[a-zA-Z_:][a-zA-Z0-9_:]{0,8}", fullmatch=True)
LABEL_NAMES = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,8}", fullmatch=True).filter(lambda name: name[:2] != "__")
VALUES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=8)
NUMBERS = st.floats().map(repr) | st.integers(-(10**20), 10**20).map(str)


@st.composite
def lines(draw: st.DrawFn) -> str:
    labels = draw(st.dictionaries(LABEL_NAMES, VALUES, max_size=4))
    escaped = {
        key: value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n") for key, value in labels.items()
    }
    text = ",".join(f'{key}="{value}"' for key, value in escaped.items())
    time = draw(st.just("") | st.integers(0, 4_000_000_000_000).map(lambda ms: f" {ms}"))
    braces = f"{{{text}}}" if labels or draw(st.booleans()) else ""
    return f"{draw(NAMES)}{braces} {draw(NUMBERS)}{time}\n"


@settings(max_examples=300, deadline=None)
@given(st.lists(lines(), max_size=6))
def test_lines_mean_what_prometheus_client_says(several: list[str]) -> None:
    text = "".join(several)
    rows, parser = read(text)
    assert comparable(rows) == comparable(oracle(text))
    assert not parser.skipped


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.from_regex(r"m_[a-z_]{1,8}", fullmatch=True), max_size=3, unique=True),
    st.data(),
)
def test_openmetrics_means_what_prometheus_client_says(families: list[str], data: st.DataObject) -> None:
    text = ""
    for name in families:
        text += f"# TYPE {name}x counter\n# HELP {name}x h\n"
        for value in data.draw(st.lists(VALUES, max_size=3, unique=True)):
            escaped = value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
            time = data.draw(st.just("") | st.integers(0, 4_000_000_000_000).map(lambda ms: f" {ms / 1000!r}"))
            exemplar = data.draw(st.sampled_from(["", ' # {trace_id="}# "} 1.5', " # {} 1 2.5"]))
            count = data.draw(st.floats(0, 1e18).map(repr) | st.integers(0, 10**20).map(str))
            text += f'{name}x_total{{l="{escaped}"}} {count}{time}{exemplar}\n'
    text += "# EOF\n"
    rows, parser = read(text, openmetrics=True)
    assert comparable(rows) == comparable(oracle(text, openmetrics=True))
    assert not parser.skipped


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_no_bytes_whatever_crash_it_and_none_go_uncounted(data: st.DataObject) -> None:
    good = '# TYPE a counter\na_total{x="y\\n",z="ü"} 1.5e3 17\n{"q.r",s="t"} NaN\n# EOF\n'.encode()
    body = bytearray(good * 2)
    for _ in range(data.draw(st.integers(0, 8))):
        place = data.draw(st.integers(0, len(body)))
        body[place : place + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=5))
    parser = ExpositionParser(SeriesTable())
    try:
        samples = parser.parse(bytes(body), NOW_MS, openmetrics=data.draw(st.booleans()))
    except InvalidPayload:
        return
    used = [
        line for line in bytes(body).split(b"\n") if line.strip(b" \t\r") and not line.lstrip(b" \t").startswith(b"#")
    ]
    assert len(samples) + parser.skipped.total() >= len(used) - 2  # a "\r" alone on a line
    assert len(samples) <= len(used)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_read_or_refused(body: bytes) -> None:
    with contextlib.suppress(InvalidPayload):
        read(body)


@pytest.mark.slow
def test_no_read_leaves_its_array_under_numbas_bounds_checks(tmp_path: Path) -> None:
    """In compiled code an index outside an array would read foreign memory; here it would raise."""
    environment = os.environ | {
        "NUMBA_BOUNDSCHECK": "1",
        "NUMBA_CACHE_DIR": str(tmp_path),
        "PYTHONPATH": os.pathsep.join([str(ROOT / ".dev"), str(ROOT)]),
    }
    command = [sys.executable, "-m", "tests.ingest.metrics.formats.fuzz", "4711", "6000"]
    result = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert result.returncode == 0, result.stderr[-3000:]
    read, refused = (int(number) for number in result.stdout.split())
    assert min(read, refused) > 500


def test_real_expositions_are_read_as_prometheus_client_does(shared_data: Path) -> None:
    folder = shared_data / "prom_expositions"
    packed = folder / "prometheus_alltypes.237mfs.prom.txt.gz"
    for body in (gzip.decompress(packed.read_bytes()), (folder / "linkerd2_proxy_inbound.prom").read_bytes()):
        whole = body if body.endswith(b"\n") else body + b"\n"
        rows, parser = read(whole)
        assert parser.skipped.keys() <= {"bad_syntax"}
        assert comparable(rows) == comparable(oracle(whole.decode()))


def test_live_scrapes_are_read_as_prometheus_client_does(shared_data: Path) -> None:
    with (shared_data / "live_capture" / "scrapes.jsonl.zst").open("rb") as packed:
        text = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(packed))
        scrapes = [scrape for line in text if (scrape := json.loads(line))["up"]]
    table = SeriesTable()
    parsers: dict[str, ExpositionParser] = {}
    for number, scrape in enumerate(scrapes):
        parser = parsers.setdefault(scrape["target"], ExpositionParser(table))
        samples = parser.parse(scrape["body"].encode(), NOW_MS, complete=True)
        assert not parser.skipped
        if number % 9 == 0:
            assert comparable(rows_of(table, samples)) == comparable(oracle(scrape["body"]))
    assert len(scrapes) > 150
    assert table.type_of("grpc_server_handled_total") == "counter"
