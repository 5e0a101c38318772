"""Zipkin's own linker cases and real traces, and DeathStarBench's: the links that others find, and where ours differ.

Every difference is named with the line of the policy that wants it; anything else that differs is a failure.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from chronotope.ingest.files.spans.formats import read_batches
from chronotope.ingest.identity.owners import Identities
from chronotope.ingest.spans.columns import SpanBatch, Vocabulary, join_batches
from chronotope.ingest.spans.pairing import Rules, calls_of
from chronotope.ingest.spans.peers import resolve_peers
from chronotope.schema.observations import BOTH_VIEWS, HOPS_ONLY

Link = tuple[str, str]
Count = tuple[int, int]  # calls, errors

NO_SERVICE = "A span without a service name likewise (`no_service`)."
SAME_SERVICE = "Same service: no edge."
CHILD = "Child span of another service than its parent: edge parent's service → child's service."
ONE_CALL = "One remote call is one call, whether one or both of its spans arrive."
ONLY_PARENT = "Only the parent link and the two services [matter]: an unknown parent is nobody's child."
TOPIC = "Topic or queue is a node of kind `messaging`: namespace = `messaging.system`, name = destination."
EXTERNAL = "Client span whose server never reports: […] else `server.address` itself as `external`."


class Difference(NamedTuple):
    """What Zipkin counts for a link, what we count, and why."""

    zipkin: Count
    ours: Count
    policy: str


NONE: Count = (0, 0)

CASE_DIFFERENCES: dict[str, dict[Link, Difference]] = {
    # Zipkin assumes no direct link without a broker's name; to us the parent link says who called.
    "messagingWithoutBroker_noLinks": {("producer", "consumer"): Difference(NONE, (1, 0), CHILD)},
    # The client spans name no local service; Zipkin takes their parent's.
    "callsAgainstTheSameLinkIncreasesCallCount_span": {("client", "server"): Difference((2, 0), NONE, NO_SERVICE)},
    # The span between names no service; Zipkin climbs past it, to us the link to the parent ends there.
    "intermediatedClientSpansMissingLocalServiceNameLinkToNearestServer": {
        ("client", "server"): Difference((2, 0), NONE, NO_SERVICE)
    },
    "errorsOnInstrumentedLinks": {("foo", "bar"): Difference((2, 0), NONE, NO_SERVICE)},
    "linksLoopbackSpans[0]": {("service", "service"): Difference((1, 0), NONE, SAME_SERVICE)},
}

TRACE_DIFFERENCES: dict[str, dict[Link, Difference]] = {
    "messaging-kafka.json": {
        ("servicea", "kafka"): Difference((9, 0), NONE, TOPIC),
        ("servicea", "kafka/messages"): Difference(NONE, (3, 0), TOPIC),
        ("servicea", "kafka/central.messages"): Difference(NONE, (3, 0), TOPIC),
        ("servicea", "kafka/command-messages"): Difference(NONE, (3, 0), TOPIC),
        ("kafka", "servicea"): Difference((4, 0), NONE, TOPIC),
        ("kafka/messages", "servicea"): Difference(NONE, (4, 0), TOPIC),
        ("kafka", "serviceb"): Difference((3, 0), NONE, TOPIC),
        ("kafka/messages", "serviceb"): Difference(NONE, (3, 0), TOPIC),
    },
    "messaging.json": {
        ("rabbitmq", "backend"): Difference((1, 0), NONE, TOPIC),
        ("rabbitmq/backend", "backend"): Difference(NONE, (1, 0), TOPIC),
    },
    "messaging2.json": {
        ("rabbitmq", "notification-service"): Difference((1, 0), NONE, TOPIC),
        ("rabbitmq/notification-exchange", "notification-service"): Difference(NONE, (1, 0), TOPIC),
        # Two client spans whose parent is not in the trace; Zipkin hangs orphans under the root span.
        ("mobile-gateway", "transfer-service"): Difference((2, 0), NONE, ONLY_PARENT),
    },
    "smartthings-mobile-web-install.json": {
        # Cassandra spans that name the keyspace, which is called as the service is; and spans of one service.
        ("auth", "auth"): Difference((132, 0), NONE, SAME_SERVICE),
        ("bookie", "bookie"): Difference((120, 0), NONE, SAME_SERVICE),
        ("strongman", "strongman"): Difference((19, 0), NONE, SAME_SERVICE),
        ("stLogin", "stLogin"): Difference((10, 0), NONE, SAME_SERVICE),
        ("pusher", "archiver.st.internal"): Difference(NONE, (1, 0), EXTERNAL),
    },
    "smartthings-oauth-authorization.json": {
        ("auth", "auth"): Difference((50, 0), NONE, SAME_SERVICE),
        ("datamgmt", "datamgmt"): Difference((25, 0), NONE, SAME_SERVICE),
        ("stlogin", "stlogin"): Difference((12, 0), NONE, SAME_SERVICE),
        ("pusher", "archiver.st.internal"): Difference(NONE, (1, 0), EXTERNAL),
    },
    "yelp.json": {
        # Client spans of proxies, children of `routing`'s server span: Zipkin links servers only.
        ("routing", "unknown"): Difference(NONE, (1, 0), CHILD),
        ("routing", "yelp-main"): Difference(NONE, (1, 0), CHILD),
        # Children of a shared span are the server half's, which is `yelp_main/api_proxy`, not its client's; and
        # they are two: Zipkin counts their own calls to memcache and mysql as calls from `unknown` as well.
        ("unknown", "yelp-main"): Difference((5, 0), NONE, CHILD),
        ("yelp_main/api_proxy", "yelp-main"): Difference(NONE, (2, 0), CHILD),
        # One shared span, sent by both sides.
        ("yelp-main", "mobile_api"): Difference((2, 0), (1, 0), ONE_CALL),
    },
}


def links_of(path: Path, input_format: str) -> tuple[dict[Link, Count], SpanBatch]:
    """Return the links that the hops of a file show, and its spans."""
    vocabulary = Vocabulary()
    batch = join_batches(list(read_batches(path, input_format, vocabulary)))
    resolve_peers(batch, vocabulary, Identities(), {})
    calls = calls_of(batch.rows, Rules(vocabulary)).calls
    counted: Counter[Link] = Counter()
    errors: Counter[Link] = Counter()
    for call in calls[(calls["view"] == BOTH_VIEWS) | (calls["view"] == HOPS_ONLY)]:
        link = vocabulary.nodes[call["source"]].id, vocabulary.nodes[call["target"]].id
        counted[link] += int(call["weight"])
        errors[link] += int(call["weight"]) * int(call["error"])
    return {link: (counted[link], errors[link]) for link in counted}, batch


def zipkin_links(links: list[dict[str, Any]]) -> dict[Link, Count]:
    return {(link["parent"], link["child"]): (link["callCount"], link.get("errorCount", 0)) for link in links}


def expected(links: dict[Link, Count], differences: dict[Link, Difference]) -> dict[Link, Count]:
    """Return Zipkin's links with each named difference put in, after a check that it is one."""
    for link, difference in differences.items():
        assert links.get(link, NONE) == difference.zipkin, link
    changed = links | {link: difference.ours for link, difference in differences.items()}
    return {link: count for link, count in changed.items() if count != NONE}


@pytest.fixture(scope="module")
def linker_cases(shared_data: Path) -> dict[str, dict[str, Any]]:
    text = (shared_data / "zipkin_linker" / "dependency_linker_cases.json").read_text()
    return {case["name"]: case for case in json.loads(text)["cases"] if "traces" in case}


CASE_NAMES = [
    "baseCase",
    "traceIdIsOpaque",
    "lateParentIdInSharedSpan",
    "messagingSpansDontLinkWithoutBroker_consumer",
    "messagingWithBroker_both_sides_same",
    "messagingWithoutBroker_noLinks",
    "producerLinksToServer_sameSpan",
    "linksSpansDirectedByKind[0]",
    "callsAgainstTheSameLinkIncreasesCallCount_span",
    "singleHostSpansResultInASingleCallCount",
    "singleHostSpansResultInASingleErrorCount_sameId",
    "singleHostSpans_multipleChildren",
    "intermediatedClientSpansMissingLocalServiceNameLinkToNearestServer",
    "errorsOnInstrumentedLinks",
    "linksLoopbackSpans[0]",
    "noSpanKindTreatedSameAsClient",
    "cannotLinkSingleSpanWithoutBothServiceNames[0]",
    "cannotLinkSingleSpanWithoutBothServiceNames[2]",
    "cannotLinkSingleSpanWithoutBothServiceNames[4]",
    "doesntLinkUnrelatedSpansWhenMissingRootSpan",
    "linksSingleHostSpans",
    "missingSpan",
]


def test_all_span_cases_of_the_linker_are_tried(linker_cases: dict[str, dict[str, Any]]) -> None:
    """The 23rd case, `merge_error`, adds links, not spans: the store's aggregation does that."""
    assert list(linker_cases) == CASE_NAMES
    assert set(CASE_DIFFERENCES) <= set(CASE_NAMES)


@pytest.mark.parametrize("name", CASE_NAMES)
def test_linker_case_gives_zipkins_links_or_named_differences(
    name: str, linker_cases: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    """The cases carry no times; each span gets one here, as without any it could not be put on a time axis."""
    case = linker_cases[name]
    timed = [[{**span, "timestamp": 1_700_000_000_000_000} for span in trace] for trace in case["traces"]]
    path = tmp_path / "case.json"
    path.write_text(json.dumps(timed))
    links, batch = links_of(path, "zipkin")
    assert links == expected(zipkin_links(case["expected"]), CASE_DIFFERENCES.get(name, {}))
    assert len(batch.rows) + batch.skipped.total() == batch.read


@pytest.mark.parametrize(
    "name",
    [
        "ascend.json",
        "envoy.json",
        "messaging-kafka.json",
        "messaging.json",
        "messaging2.json",
        "simple-db-p6.json",
        "skew.json",
        "smartthings-mobile-web-install.json",
        "smartthings-oauth-authorization.json",
        "yelp.json",
    ],
)
def test_real_zipkin_trace_gives_zipkins_links_or_named_differences(name: str, shared_data: Path) -> None:
    reference = json.loads((shared_data / "zipkin_lens" / "expected_links.json").read_text())
    links, _ = links_of(shared_data / "zipkin_lens" / name, "zipkin")
    assert links == expected(zipkin_links(reference[name]), TRACE_DIFFERENCES.get(name, {}))


def test_deathstarbench_traces_give_each_of_eleven_edges_twenty_times(shared_data: Path) -> None:
    path = shared_data / "deathstarbench_jaeger" / "socialnetwork_traces-1695947455229.json.gz"
    composed = ["unique-id", "media", "user", "text", "user-timeline", "home-timeline", "post-storage"]
    edges = [("nginx-web-server", "compose-post-service"), ("home-timeline-service", "social-graph-service")]
    edges += [("compose-post-service", f"{name}-service") for name in composed]
    edges += [("text-service", "url-shorten-service"), ("text-service", "user-mention-service")]
    links, batch = links_of(path, "jaeger")
    assert links == dict.fromkeys(edges, (20, 0))
    assert (batch.read, len(batch.rows)) == (660, 660)
