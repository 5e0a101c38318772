"""Each line of the policy "Spans → edges", as one test of the pure pairing function."""

from __future__ import annotations

import itertools

import numpy as np

from chronotope.ingest.spans.columns import CONSUMER, INTERNAL, PRODUCER, UNSPECIFIED, Node
from chronotope.ingest.spans.pairing import LONE, NO_PEER, calls_of
from chronotope.schema.observations import HOPS_ONLY, REPORTER_SOURCE, REPORTER_TARGET
from tests.ingest.spans.building import Scene, client

TOPIC = Node("rabbitmq/orders", "messaging")
DATABASE = Node("orders@pg-1", "database")
ADDRESS = Node("10.0.0.7", "external")


def test_a_child_in_another_service_is_a_call():
    s = Scene()
    assert s.edges(client(s, "a", 1), s.span("b", 2, 1)) == ["a>b"]


def test_a_child_in_the_same_service_is_no_call():
    s = Scene()
    assert s.edges(s.span("a", 1), s.span("a", 2, 1, kind=INTERNAL)) == []


def test_a_call_needs_no_kinds():
    s = Scene()
    assert s.edges(s.span("a", 1, kind=UNSPECIFIED), s.span("b", 2, 1, kind=UNSPECIFIED)) == ["a>b"]


def test_the_order_of_the_spans_does_not_matter():
    s = Scene()
    rows = [client(s, "a", 1, peer=ADDRESS), s.span("b", 2, 1), client(s, "b", 3, 2, peer=DATABASE), s.span("c", 4, 9)]
    answers = {str(s.calls(*order)) for order in itertools.permutations(rows)}
    assert len(answers) == 1


def test_each_server_span_of_one_client_span_is_a_call():
    s = Scene()
    assert s.edges(client(s, "a", 1), s.span("b", 2, 1), s.span("b", 3, 1)) == ["a>b", "a>b"]


def test_an_answered_client_makes_no_edge_to_its_address():
    s = Scene()
    assert s.edges(client(s, "a", 1, peer=ADDRESS), s.span("b", 2, 1)) == ["a>b"]


def test_a_client_that_nobody_answers_calls_the_peer_it_names():
    s = Scene()
    assert s.edges(client(s, "a", 1, peer=DATABASE)) == ["a>orders@pg-1"]


def test_a_client_half_on_hold_makes_no_edge_yet():
    s = Scene()
    rows = client(s, "a", 1, peer=ADDRESS, released=False)
    assert s.edges(rows) == []
    assert calls_of(rows, s.rules).roles.tolist() == [LONE]


def test_a_client_that_names_nobody_gives_no_edge_and_is_counted():
    s = Scene()
    found = calls_of(client(s, "a", 1), s.rules)
    assert len(found.calls) == 0
    assert found.no_peer == 1
    assert found.roles.tolist() == [NO_PEER]


def test_internal_spans_between_client_and_server_do_not_matter():
    s = Scene()
    rows = [client(s, "a", 1, peer=ADDRESS), s.span("a", 2, 1, kind=INTERNAL), s.span("b", 3, 2)]
    assert s.edges(*rows) == ["a>b"]


def test_a_client_span_that_wraps_an_answered_one_is_no_second_call():
    s = Scene()
    rows = [client(s, "a", 1, peer=ADDRESS), client(s, "a", 2, 1, peer=Node("b.local", "external")), s.span("b", 3, 2)]
    assert s.edges(*rows) == ["a>b"]


def test_two_nested_client_spans_to_one_database_are_one_call():
    s = Scene()
    assert s.edges(client(s, "a", 1, peer=DATABASE), client(s, "a", 2, 1, peer=DATABASE)) == ["a>orders@pg-1"]


def test_two_client_spans_to_one_database_beside_each_other_are_two_calls():
    s = Scene()
    rows = [s.span("a", 1), client(s, "a", 2, 1, peer=DATABASE), client(s, "a", 3, 1, peer=DATABASE)]
    assert s.edges(*rows) == ["a>orders@pg-1", "a>orders@pg-1"]


def test_a_shared_span_is_one_call():
    s = Scene()
    assert s.edges(client(s, "a", 1), s.span("b", 1, shared=True)) == ["a>b"]


def test_children_of_a_shared_span_belong_to_its_server_half():
    s = Scene()
    rows = [client(s, "a", 1), s.span("b", 1, shared=True), client(s, "b", 2, 1, peer=DATABASE)]
    assert s.edges(*rows) == ["a>b", "b>orders@pg-1"]


def test_a_root_server_span_makes_no_edge():
    s = Scene()
    assert s.edges(s.span("a", 1)) == []


def test_a_root_server_span_is_called_by_the_entry_node_when_asked():
    s = Scene(entry="user")
    assert s.edges(s.span("a", 1), client(s, "a", 2, 1), s.span("b", 3, 2)) == ["a>b", "user>a"]


def test_a_root_server_span_that_names_its_caller_gives_that_edge():
    s = Scene()
    assert s.edges(s.span("b", 1, peer=Node("a"))) == ["a>b"]


def test_a_server_span_whose_parent_never_comes_gives_the_edge_of_its_named_caller_when_released():
    s = Scene()
    assert s.edges(s.span("b", 1, 77, peer=Node("a"), released=False)) == []
    assert s.edges(s.span("b", 1, 77, peer=Node("a"))) == ["a>b"]


def test_a_parent_that_is_known_wins_over_a_named_caller():
    s = Scene()
    assert s.edges(client(s, "a", 1), s.span("b", 2, 1, peer=Node("somebody"))) == ["a>b"]


def test_a_message_passes_its_topic():
    s = Scene()
    rows = [s.span("a", 1, kind=PRODUCER, peer=TOPIC), s.span("b", 2, 1, kind=CONSUMER, peer=TOPIC)]
    assert s.edges(*rows) == ["a>b via rabbitmq/orders"]
    assert s.edges(*rows, view=HOPS_ONLY) == ["a>rabbitmq/orders", "rabbitmq/orders>b"]


def test_half_a_message_is_an_edge_with_its_topic_in_both_views():
    s = Scene()
    for rows in ([s.span("a", 1, kind=PRODUCER, peer=TOPIC)], [s.span("a", 2, 9, kind=CONSUMER, peer=TOPIC)]):
        assert s.edges(*rows) == s.edges(*rows, view=HOPS_ONLY)
        assert len(s.edges(*rows)) == 1


def test_a_span_link_counts_as_a_parent_in_the_linked_trace():
    s = Scene()
    produced = s.span("a", 1, kind=PRODUCER, peer=TOPIC)
    assert s.edges(produced, s.span("b", 99, 1, kind=CONSUMER, peer=TOPIC, link=True)) == ["a>b via rabbitmq/orders"]


def test_an_error_of_either_half_is_an_error_of_the_call():
    s = Scene()
    for there, here in ((True, False), (False, True)):
        (call,) = s.calls(client(s, "a", 1, error=there), s.span("b", 2, 1, error=here))
        assert call["error"]


def test_time_is_the_servers_start_and_latency_the_clients():
    s = Scene()
    (call,) = s.calls(client(s, "a", 1, at_ms=0, took_ms=30), s.span("b", 2, 1, at_ms=5, took_ms=20))
    assert (call["at_ms"], call["latency_ms"], call["reporter"]) == (5, 30, REPORTER_SOURCE)


def test_latency_is_the_servers_where_no_client_span_is_known():
    s = Scene()
    (call,) = s.calls(s.span("a", 1, kind=INTERNAL, took_ms=99), s.span("b", 2, 1, took_ms=20))
    assert (call["latency_ms"], call["reporter"]) == (20, REPORTER_TARGET)


def test_a_server_that_starts_before_its_client_loses_nothing():
    s = Scene()
    (call,) = s.calls(client(s, "a", 1, at_ms=100), s.span("b", 2, 1, at_ms=40, took_ms=7))
    assert call["at_ms"] == 40
    assert call["latency_ms"] == 10


def test_the_half_that_says_more_names_the_protocol():
    s = Scene()
    (call,) = s.calls(client(s, "a", 1, protocol="http"), s.span("b", 2, 1, protocol="grpc"))
    assert call["protocol"] == "grpc"


def test_a_sampled_span_stands_for_its_weight():
    s = Scene()
    (call,) = s.calls(client(s, "a", 1, weight=3), s.span("b", 2, 1, weight=10))
    assert call["weight"] == 10


def test_spans_that_are_their_own_ancestors_end():
    s = Scene()
    rows = [client(s, "a", 1, 2), client(s, "a", 2, 1), client(s, "a", 3, 3), s.span("b", 4, 1)]
    assert s.edges(*rows) == ["a>b"]


def test_one_id_in_two_traces_is_two_spans():
    s = Scene()
    assert s.edges(client(s, "a", 1, trace=5), s.span("b", 2, 1, trace=6)) == []


def test_no_spans_give_no_calls():
    s = Scene()
    assert len(calls_of(client(s, "a", 1)[:0], s.rules).calls) == 0
    assert calls_of(np.empty(0, client(s, "a", 1).dtype), s.rules).no_peer == 0


def test_a_span_without_an_end_says_nothing_of_latency():
    s = Scene()
    (call,) = s.calls(client(s, "a", 1, took_ms=0), s.span("b", 2, 1, took_ms=20))
    assert (call["latency_ms"], call["reporter"]) == (20, REPORTER_TARGET)
    (alone,) = calls_of(client(s, "a", 1, peer=DATABASE, took_ms=0), s.rules).calls
    assert alone["latency_ns"] == -1
