"""What a span says of itself: its kind, its service, and how many it stands for."""

from __future__ import annotations

import pytest

from chronotope.ingest.spans.columns import CLIENT, CONSUMER, INTERNAL, PRODUCER, SERVER, UNSPECIFIED
from chronotope.ingest.spans.sampling import MAX_WEIGHT, sampling_weight
from chronotope.ingest.spans.semconv import kind_of_tag, service_of


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("client", CLIENT),
        (" Server ", SERVER),
        ("producer", PRODUCER),
        ("consumer", CONSUMER),
        ("SPAN_KIND_INTERNAL", INTERNAL),
        ("", UNSPECIFIED),
        ("x", UNSPECIFIED),
    ],
)
def test_a_kind_tag_names_a_kind(text: str, kind: int) -> None:
    assert kind_of_tag(text) == kind


@pytest.mark.parametrize(
    ("attributes", "service"),
    [
        ({"service.name": "orders", "service.namespace": "shop", "k8s.namespace.name": "k"}, "shop/orders"),
        ({"service.name": "orders", "k8s.namespace.name": "k"}, "k/orders"),
        ({"service.name": "orders"}, "orders"),
        ({"service.name": "unknown_service:python"}, "unknown_service:python"),
        ({"service.namespace": "shop"}, ""),
        ({"service.name": " "}, ""),
    ],
)
def test_a_service_is_named_by_its_resource(attributes: dict[str, object], service: str) -> None:
    assert service_of(attributes) == service


@pytest.mark.parametrize(
    ("tracestate", "weight"),
    [
        ("", 1),
        ("ot=th:0", 1),
        ("ot=th:8", 2),
        ("ot=th:c", 4),
        ("vendor=1, ot=rv:12345678901234;th:fd", 85.33333333),
        ("ot=p:3", 8),
        ("ot=p:3;r:5", 8),
        ("ot=p:63", 1),
        ("ot=p:-1", 1),
        ("ot=th:ffffffffffffff", MAX_WEIGHT),
        ("ot=p:40", MAX_WEIGHT),
        ("ot=th:", 1),
        ("ot=th:xyz", 1),
        ("ot=th:123456789012345", 1),
        ("ot", 1),
        ("=;,:", 1),
    ],
)
def test_a_sampled_span_stands_for_the_inverse_of_its_probability(tracestate: str, weight: float) -> None:
    """Fractions are rounded without bias: the mean is exact."""
    weights = [sampling_weight(tracestate, key) for key in range(20_000)]
    assert sum(weights) / len(weights) == pytest.approx(weight, rel=1e-4)
    assert max(weights) - min(weights) <= 1


def test_a_weight_depends_on_nothing_but_its_arguments() -> None:
    assert [sampling_weight("ot=th:aaa", 2**64 - 1) for _ in range(3)] == [sampling_weight("ot=th:aaa", 2**64 - 1)] * 3
