"""Receivers are told in order, once, and again after a failure; none keeps another waiting."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from tests.server.delivery.receiver import Endpoint, Request, endpoint

from chronotope.schema.config.config import Config
from chronotope.schema.config.delivery import DeliverySection
from chronotope.schema.errors import InvalidConfig
from chronotope.schema.storage.migrate import migrate
from chronotope.schema.storage.store import Store
from chronotope.server.delivery.notify import Notifier, notifiers_of
from chronotope.server.evidence.settings import now_ms
from chronotope.server.rules.alert import Alert
from chronotope.server.rules.conditions import Subject
from chronotope.server.rules.firing import State
from chronotope.server.rules.table import Standing


@pytest.fixture(scope="module")
def engine() -> Iterator[Store]:
    with Store.open("chdb://memory") as opened:
        migrate(opened)
        yield opened


@pytest.fixture
def store(engine: Store) -> Store:
    """A store in which nobody was told of anything yet."""
    engine.command("TRUNCATE TABLE notifications")
    return engine


def standing(name: str, fired_ms: int, resolved_ms: int = 0) -> Standing:
    subject = Subject("dev/a", f"prod/{name}", "grpc")
    labels = {"alertname": "r", "severity": "info", "source": subject.source, "target": subject.target}
    return Standing(Alert(name, "r", subject, labels, {"summary": "<b>&"}), State(fired_ms, fired_ms, resolved_ms))


class Told:
    """Notifiers of a configuration, and their metrics."""

    def __init__(self, store: Store, delivery: dict[str, Any]) -> None:
        self.registry = CollectorRegistry()
        config = Config.model_validate({"delivery": delivery}).delivery
        self.notifiers: list[Notifier] = notifiers_of(config, store, self.registry, now_ms)

    def update(self, *alerts: Standing) -> None:
        for notifier in self.notifiers:
            notifier.update(alerts, True)

    def count(self, receiver: str, outcome: str) -> float:
        labels = {"receiver": receiver, "outcome": outcome}
        return self.registry.get_sample_value("chronotope_notifications_total", labels) or 0.0


@contextmanager
def telling(store: Store, **delivery: Any) -> Iterator[Told]:
    own = Told(store, {"timeout": 1, **delivery})
    for notifier in own.notifiers:
        notifier.rounds.start()
    try:
        yield own
    finally:
        for notifier in own.notifiers:
            notifier.rounds.stop(5)


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def said(peer: Endpoint) -> list[tuple[str, str]]:
    return [(request.json["fingerprint"], request.json["status"]) for request in peer.requests]


def test_a_webhook_is_told_once_in_order_and_can_verify_it(store: Store) -> None:
    now = now_ms()
    first, second = standing("a", now - 2000), standing("b", now - 1000)
    with endpoint() as peer:
        with telling(store, webhooks=[{"url": f"{peer.url}/x", "name": "hook", "secret": "k€y"}]) as notified:
            notified.update(first, second)
            peer.wait_for(2)
            notified.update(standing("a", now - 2000, now), second)
            peer.wait_for(3)
            notified.update(standing("a", now - 2000, now), second)
            wait_until(lambda: notified.count("hook", "delivered") == 3)
        with telling(store, webhooks=[{"url": f"{peer.url}/x", "name": "hook"}]) as again:  # as after a restart
            again.update(standing("a", now - 2000, now), second)
            time.sleep(0.5)
        assert said(peer) == [("a", "firing"), ("b", "firing"), ("a", "resolved")]
        for request in peer.requests:
            stamp = request.headers["X-Chronotope-Timestamp"]
            expected = hmac.new("k€y".encode(), f"{stamp}.".encode() + request.body, hashlib.sha256).hexdigest()
            assert request.headers["X-Chronotope-Signature"] == f"sha256={expected}"
            assert abs(int(stamp) - time.time()) < 60
            assert request.headers["X-Chronotope-Delivery"] == request.json["id"]
        assert peer.requests[0].json["edge"] == {"source": "dev/a", "target": "prod/a", "protocol": "grpc"}


def test_after_failures_it_goes_on_where_it_was(store: Store) -> None:
    now = now_ms()
    answers = iter([503, 500, 200, 200])
    with endpoint() as peer:
        peer.answer = lambda _: (next(answers), {}, b"")
        with telling(store, webhooks=[{"url": peer.url, "name": "hook"}]) as notified:
            notified.update(standing("a", now - 2000), standing("b", now - 1000))
            wait_until(lambda: notified.count("hook", "delivered") == 2)
            assert notified.count("hook", "failed") == 2
            wait_until(
                lambda: notified.registry.get_sample_value("chronotope_receiver_failing", {"receiver": "hook"}) == 0
            )
    assert said(peer) == [("a", "firing")] * 3 + [("b", "firing")]
    assert len({request.json["id"] for request in peer.requests}) == 2


def test_one_that_hangs_keeps_nobody_else_waiting(store: Store) -> None:
    released = threading.Event()

    def hang(_: Request) -> tuple[int, dict[str, str], bytes]:
        released.wait(60)
        return 200, {}, b""

    with endpoint() as slow, endpoint() as quick:
        slow.answer = hang
        hooks = [{"url": slow.url, "name": "slow"}, {"url": quick.url, "name": "quick"}]
        with telling(store, webhooks=hooks, alertmanagers=[{"url": slow.url, "name": "am"}]) as notified:
            notified.update(standing("a", now_ms()))
            quick.wait_for(1)
            wait_until(lambda: notified.count("slow", "failed") >= 1 and notified.count("am", "failed") >= 1)
        released.set()


def test_what_is_refused_for_good_or_too_old_is_dropped_and_counted(store: Store) -> None:
    now = now_ms()
    with endpoint() as peer:
        peer.answer = lambda request: (400 if request.json["fingerprint"] == "bad" else 200, {}, b"")
        with telling(store, webhooks=[{"url": peer.url, "name": "hook"}], give_up_after=60) as notified:
            notified.update(standing("old", now - 90_000), standing("bad", now - 2000), standing("good", now - 1000))
            wait_until(lambda: notified.count("hook", "delivered") == 1)
            assert notified.count("hook", "dropped") == 2
    assert said(peer) == [("bad", "firing"), ("good", "firing")]


def test_a_new_receiver_is_told_of_what_fires_and_not_of_the_past(store: Store) -> None:
    now = now_ms()
    with endpoint() as peer, telling(store, webhooks=[{"url": peer.url, "name": "hook"}]) as notified:
        notified.update(standing("over", now - 90_000, now - 60_000), standing("fires", now - 90_000))
        wait_until(lambda: notified.count("hook", "delivered") == 1)
    assert said(peer) == [("fires", "firing")]


class Annotations:
    """Grafana's annotations as far as they are asked for: POST, PATCH, and GET by tag."""

    def __init__(self) -> None:
        self.kept: dict[int, dict[str, Any]] = {}
        self.lose_next_answer = False

    def answer(self, request: Request) -> tuple[int, dict[str, str], bytes]:
        if request.headers.get("Authorization") != "Bearer t0ken":
            return 401, {}, b'{"message": "Unauthorized"}'
        if request.method == "GET":
            tag = request.path.split("tags=")[1].split("&")[0].replace("%3A", ":")
            found = [{"id": id_, **own} for id_, own in self.kept.items() if tag in own["tags"]]
            return 200, {}, json.dumps(found).encode()
        if request.method == "PATCH":
            self.kept[int(request.path.rsplit("/", 1)[1])] |= request.json
        else:
            self.kept[len(self.kept) + 1] = request.json
        if self.lose_next_answer:
            self.lose_next_answer = False
            return 502, {}, b"the proxy lost it"
        return 200, {}, b'{"id": 1}'


def test_grafana_has_one_annotation_for_an_alert_though_an_answer_was_lost(store: Store, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t0ken\n")
    now, grafana = now_ms(), Annotations()
    grafana.lose_next_answer = True
    entry = {"url": "", "name": "graf", "token_file": str(tmp_path / "token"), "tags": ["chronotope", "prod"]}
    with endpoint() as peer:
        peer.answer = grafana.answer
        with telling(store, grafana=[entry | {"url": peer.url}]) as notified:
            notified.update(standing("a", now - 2000))
            wait_until(lambda: notified.count("graf", "delivered") == 1)
            notified.update(standing("a", now - 2000, now))
            wait_until(lambda: notified.count("graf", "delivered") == 2)
    (kept,) = grafana.kept.values()
    assert (kept["time"], kept["timeEnd"]) == (now - 2000, now)
    assert kept["tags"][:4] == ["chronotope", "prod", "rule:r", "severity:info"]
    assert kept["text"] == "r: &lt;b&gt;&amp;"


def test_alertmanagers_are_told_again_and_of_the_end(store: Store) -> None:
    now = now_ms()
    many = [standing(f"a{at}", now - 1000) for at in range(600)]
    with endpoint() as one, endpoint() as two:
        managers = [{"url": one.url, "headers": {"X-Scope-OrgID": "t"}}, {"url": two.url}]
        with telling(store, alertmanagers=managers, resend=5) as notified:
            notified.update(*many)
            two.wait_for(2)
            one.wait_for(2)
            notified.update(standing("a0", now - 1000, now), standing("long ago", now - 9_000_000, now - 8_000_000))
            one.wait_for(3)
            one.wait_for(4)  # the next round
    assert [len(request.json) for request in one.requests[:4]] == [500, 100, 1, 1]
    assert one.requests[0].path == "/api/v2/alerts"
    assert one.requests[0].headers["X-Scope-OrgID"] == "t"
    assert one.requests[2].json == one.requests[3].json
    assert one.requests[0].json[0]["endsAt"] > one.requests[0].json[0]["startsAt"]


def test_a_secret_that_cannot_be_read_is_an_error_that_says_so(store: Store, tmp_path: Path) -> None:
    config = DeliverySection.model_validate({"webhooks": [{"url": "http://a", "secret_file": str(tmp_path / "none")}]})
    with pytest.raises(InvalidConfig, match=r"none: the secret cannot be read: No such file"):
        notifiers_of(config, store, CollectorRegistry(), now_ms)
