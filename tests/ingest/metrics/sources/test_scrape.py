"""Scraping real HTTP endpoints that behave, and that do not."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable, Iterator

import pytest
import urllib3
from tests.ingest.metrics.sources.http_stage import Reply, stage

from chronotope.ingest.metrics.counters.columns import SeriesTable
from chronotope.ingest.metrics.sources.scrape import Scrape, Scraper, Target


@pytest.fixture
def pool() -> Iterator[urllib3.PoolManager]:
    manager = urllib3.PoolManager()
    yield manager
    manager.clear()


def scrape(pool: urllib3.PoolManager, reply: Reply | Callable[..., Reply], **target: object) -> tuple[Scrape, Scraper]:
    """Return what one scrape of an endpoint gives, at 1,700,000,000 s."""
    with stage(reply if callable(reply) else lambda *_: reply) as url:
        settings = {"timeout_s": 2.0, **target}
        scraper = Scraper(
            Target(url=f"{url}/metrics", **settings),  # type: ignore[arg-type]
            SeriesTable(),
            pool,
            clock=lambda: 1_700_000_000.0,
        )
        return scraper.scrape(), scraper


def test_a_scrape_gives_the_targets_samples(pool: urllib3.PoolManager) -> None:
    result, scraper = scrape(pool, Reply(b'a{b="c"} 1\n'), labels={"job": "shop"})
    assert (result.up, result.error, result.time_ms, result.bytes_read) == (True, "", 1_700_000_000_000, 11)
    assert scraper.parser.table.labels == [{"b": "c", "job": "shop"}]
    assert result.samples.time_ms.tolist() == [1_700_000_000_000]
    assert (scraper.up, scraper.scrapes, scraper.failures) == (True, 1, 0)


def test_openmetrics_is_asked_for_and_understood(pool: urllib3.PoolManager) -> None:
    asked: list[dict[str, str]] = []

    def answer(path: str, body: bytes, headers: dict[str, str]) -> Reply:
        asked.append(headers)
        return Reply(b"a_total 1 1700000000.5\n# EOF\n", headers={"Content-Type": "application/openmetrics-text"})

    result, _ = scrape(pool, answer, headers={"Authorization": "Bearer x"})
    assert result.samples.time_ms.tolist() == [1_700_000_000_500]
    assert asked[0]["Accept"].startswith("application/openmetrics-text")
    assert asked[0]["Authorization"] == "Bearer x"


def test_gzip_is_understood(pool: urllib3.PoolManager) -> None:
    result, _ = scrape(pool, Reply(gzip.compress(b"a 1\n"), headers={"Content-Encoding": "gzip"}))
    assert result.samples.value.tolist() == [1.0]


def test_a_last_line_without_newline_counts_only_when_http_says_it_is_whole(pool: urllib3.PoolManager) -> None:
    assert len(scrape(pool, Reply(b"a 1\nb 2"))[0].samples) == 2
    assert len(scrape(pool, Reply(b"a 1\nb 2", length=None))[0].samples) == 1


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply(b"no", status=500), "status 500"),
        (Reply(b"", status=302, headers={"Location": "/elsewhere"}), "status 302"),
        (Reply(b"<html>hello</html>\n"), "not an exposition"),
        (Reply(b"a 1\n", length=100), "cannot be scraped"),
        (Reply(b"x" * 300_000 + b"\n"), "more than 200000 bytes"),
        (Reply(gzip.compress(b"\n" * 50_000_000), headers={"Content-Encoding": "gzip"}), "more than 200000 bytes"),
        (Reply(b"not gzip", headers={"Content-Encoding": "gzip"}), "cannot be scraped"),
    ],
)
def test_a_failed_scrape_says_why_and_gives_nothing(pool: urllib3.PoolManager, reply: Reply, error: str) -> None:
    result, scraper = scrape(pool, reply, max_body_bytes=200_000)
    assert not result.up
    assert error in result.error
    assert len(result.samples) == 0
    assert (scraper.up, scraper.failures, scraper.last_error) == (False, 1, result.error)


def test_a_target_that_is_not_there_is_down(pool: urllib3.PoolManager) -> None:
    with stage(lambda *_: Reply()) as url:
        pass
    scraper = Scraper(Target(url=url, timeout_s=2), SeriesTable(), pool)
    assert "cannot be scraped" in scraper.scrape().error


def test_a_target_that_does_not_answer_in_time_is_down(pool: urllib3.PoolManager) -> None:
    result, _ = scrape(pool, Reply(b"a 1\n", before=lambda: time.sleep(0.6)), timeout_s=0.2)
    assert not result.up


def test_a_target_comes_up_again(pool: urllib3.PoolManager) -> None:
    replies = iter([Reply(status=503), Reply(b"a 1\n")])
    with stage(lambda *_: next(replies)) as url:
        scraper = Scraper(Target(url=url), SeriesTable(), pool)
        assert [scraper.scrape().up, scraper.scrape().up] == [False, True]
        assert (scraper.scrapes, scraper.failures, scraper.last_error) == (2, 1, "")


def test_targets_are_spread_over_the_interval_at_fixed_moments() -> None:
    targets = [Target(url=f"http://h{i}/metrics", interval_s=15) for i in range(200)]
    due = [target.next_at(1_700_000_000.0) for target in targets]
    assert all(0 < moment - 1_700_000_000 <= 15 for moment in due)
    assert max(due) - min(due) > 12
    assert [target.next_at(moment) for target, moment in zip(targets, due, strict=True)] == pytest.approx(
        [moment + 15 for moment in due]
    )
