"""Hostile expositions through the whole pipeline: counted by reason, never a crash, and the good lines count."""

from __future__ import annotations

import pytest

from chronotope.ingest.metrics.formats.exposition import ExpositionParser
from chronotope.ingest.metrics.mapping.pipeline import MetricsPipeline
from chronotope.schema.config.config import Config
from chronotope.schema.errors import InvalidPayload

NAME = "http_client_request_duration_seconds"


def line(suffix: str, value: object, **labels: str) -> bytes:
    inside = ",".join(f'{key}="{text}"' for key, text in {"server_address": "cart", **labels}.items())
    return f"{NAME}_{suffix}{{{inside}}} {value}\n".encode()


HOSTILE = {
    "label bomb": (b"".join(line("count", 1, server_address=f"s{n}") for n in range(3000)), "series_limit"),
    "many labels": (line("count", 1, **{f"l{n}": "v" for n in range(500)}), "label_limit"),
    "10 MB line": (line("count", 1, server_address="y" * 10_000_000), "line_too_long"),
    "negative": (line("count", -5, x="1"), "not_a_count"),
    "infinite": (line("count", "+Inf", x="1"), "not_a_count"),
    "minus infinite": (line("count", "-Inf", x="1"), "not_a_count"),
    "huge": (line("count", "1e300", x="1"), "not_a_count"),
    "NaN": (line("count", "NaN", x="1"), ""),
    "bounds": (b"".join(line("bucket", n, le=str(n)) for n in range(1500)), ""),
    "bound NaN": (line("bucket", 5, le="NaN") + line("bucket", 5, le="x") + line("bucket", 5), ""),
    "negative sum": (line("sum", -3.5), "not_a_count"),
    "twice": (line("count", 3, x="1") + line("count", 4, x="1"), "duplicate_time"),
    "bytes": (b"\xff\xfe\x00{}\n", "bad_utf8"),
}


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_lines_are_counted_by_reason_and_good_ones_count(hostile: str) -> None:
    text, reason = HOSTILE[hostile]
    pipeline = MetricsPipeline(Config(), max_series=2000)
    parser = ExpositionParser(
        pipeline.table, target_labels={"service_name": "front"}, wanted=pipeline.rules.wanted, max_series=4000
    )
    calls = 0
    for scrape in range(1, 4):
        body = line("count", 10 * scrape) + text
        for table in pipeline.accept(parser.parse(body, 15_000 * scrape, complete=True)):
            calls += sum(row["calls"] for row in table.to_pylist() if row["target"] == "cart")
        pipeline.tidy(15_000 * scrape)
    assert calls == 20
    reasons = pipeline.skipped + parser.skipped
    assert not reason or reasons[reason] > 0 or reasons["bad_syntax"] > 0 or reasons["bad_series"] > 0


def test_what_is_no_exposition_at_all_is_refused() -> None:
    parser = ExpositionParser(MetricsPipeline(Config()).table)
    with pytest.raises(InvalidPayload, match="not an exposition"):
        parser.parse(b"<html>\n<p>not here</p>\n", 0)
