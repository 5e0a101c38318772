"""Who owns a service and what changed of it, as of the asked time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from flask.testing import FlaskClient
from tests.server.conftest import T0, write_history

from chronotope.schema.config.config import Config, load_config
from chronotope.schema.errors import InvalidConfig
from chronotope.schema.storage.store import Store
from chronotope.server.api.app import create_app
from chronotope.server.context.catalogue import read_catalogue, resolve
from chronotope.server.context.changes import ago, changes_between
from chronotope.server.context.refresh import CatalogueRefresh, write_facts
from chronotope.server.events.event import Event, event_id
from chronotope.server.events.table import write_events
from chronotope.server.evidence.settings import Settings

MINUTE_MS = 60_000
AT_MS = T0 * 1000
BACKSTAGE = """
apiVersion: backstage.io/v1alpha1
kind: Component
metadata:
  name: cart
  annotations:
    backstage.io/kubernetes-namespace: shop
    github.com/project-slug: shop/cart
    pagerduty.com/service-id: PCART
  labels: {tier: "1"}
  links:
    - {url: "https://wiki.example.com/cart", title: Run book}
spec: {type: service, lifecycle: production, system: ordering}
---
apiVersion: backstage.io/v1alpha1
kind: Component
metadata: {name: billing, annotations: {chronotope/service: money/billing-api}}
spec: {owner: "group:default/money", lifecycle: experimental}
---
apiVersion: backstage.io/v1alpha1
kind: System
metadata: {name: ordering}
spec: {owner: checkout, domain: sales}
---
apiVersion: backstage.io/v1alpha1
kind: Group
metadata: {name: checkout}
spec: {type: team, parent: commerce, children: []}
"""


@pytest.fixture
def owned(store: Store) -> tuple[Store, FlaskClient]:
    write_history(store)
    return store, create_app(store, Settings(clock=lambda: AT_MS + 86_400_000)).test_client()


def attributes(client: FlaskClient, service: str, at_s: int = T0 + 60) -> Any:
    (node,) = [one for one in client.get(f"/api/v1/graph?at={at_s}&window=1h").json["nodes"] if one["id"] == service]
    return node["attributes"]


def test_backstage_entities_complete_each_other(tmp_path: Path) -> None:
    path = tmp_path / "catalog-info.yaml"
    path.write_text(BACKSTAGE)
    assert read_catalogue([path]) == {
        "shop/cart": {
            "tier": "1", "owner": "checkout", "team": "checkout", "department": "commerce", "system": "ordering",
            "domain": "sales", "lifecycle": "production", "repository": "https://github.com/shop/cart",
            "on_call": "PCART", "run_book": "https://wiki.example.com/cart",
        },
        "money/billing-api": {"owner": "money", "team": "money", "lifecycle": "experimental"},
    }  # fmt: skip


def test_a_name_alone_is_every_service_so_called_and_an_id_says_more() -> None:
    catalogue = {"cart": {"team": "a", "tier": "2"}, "shop/cart": {"team": "b"}}
    assert resolve(catalogue, ["shop/cart", "test/cart", "shop/front"]) == {
        "shop/cart": {"team": "b", "tier": "2"},
        "test/cart": {"team": "a", "tier": "2"},
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("services: {cart: [a]}", "has no attributes"),
        ("services: [cart]", "is no catalogue"),
        ("just text", "is no catalogue"),
        ("a: [", "is no YAML"),
        (None, "cannot be read"),
    ],
)
def test_what_is_no_catalogue_is_refused_by_name(tmp_path: Path, text: str | None, said: str) -> None:
    path = tmp_path / "catalogue.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InvalidConfig, match=said) as refused:
        read_catalogue([path])
    assert str(path) in str(refused.value)


def test_files_are_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("catalogue: [owners.yaml, /etc/owners.yaml]")
    assert load_config(tmp_path / "config.yaml").catalogue == [str(tmp_path / "owners.yaml"), "/etc/owners.yaml"]


def test_an_earlier_graph_shows_what_was_said_then(owned: tuple[Store, FlaskClient], tmp_path: Path) -> None:
    """A team hands its service over; nodes of one team are one node, also then."""
    store, client = owned
    path, now = tmp_path / "owners.yaml", [AT_MS]
    keeper = CatalogueRefresh(store, Config(catalogue=[str(path)]), lambda: now[0])
    for team in ("old", "new"):
        path.write_text(yaml.safe_dump({"services": {"post": {"team": team}}}))
        assert keeper.round() == 1
        assert keeper.round() == 0, "nothing new"
        now[0] += 10 * MINUTE_MS
    assert attributes(client, "ship/post", T0 + 60) == {"team": "old"}
    assert attributes(client, "ship/post", T0 + 1200) == {"team": "new"}
    for at, team in ((60, "old"), (1200, "new")):
        nodes = client.get(f"/api/v1/graph?at={T0 + at}&window=1h&group_by=team").json["nodes"]
        assert team in {node["id"] for node in nodes}


def test_attributes_of_identities_are_the_services(owned: tuple[Store, FlaskClient]) -> None:
    store, client = owned
    config = Config.model_validate(
        {"identities": [{"address": "10.0.0.1", "service": "ops/probe", "attributes": {"team": "watch"}}]}
    )
    CatalogueRefresh(store, config, lambda: AT_MS).round()
    assert attributes(client, "ops/probe") == {"team": "watch"}


def test_a_new_version_is_a_change_the_first_is_none(owned: tuple[Store, FlaskClient]) -> None:
    store, client = owned
    for minutes, version in ((0, "1.0"), (5, "1.0"), (10, "1.1"), (20, "1.2")):
        write_facts(store, [("shop/cart", "service.version", version)], AT_MS + minutes * MINUTE_MS)
    found = changes_between(store, AT_MS - MINUTE_MS, AT_MS + 60 * MINUTE_MS)
    assert [(one.type, one.title, (one.time_ms - AT_MS) // MINUTE_MS) for one in found] == [
        ("deployment", "cart 1.1", 10),
        ("deployment", "cart 1.2", 20),
    ]
    detail = client.get(f"/api/v1/services/shop%2Fcart?at={T0 + 1500}&window=5m").json
    assert [one["text"] for one in detail["changes"]] == ["5 minutes before: cart 1.2", "15 minutes before: cart 1.1"]
    assert client.get(f"/api/v1/services/shop%2Ffront?at={T0 + 1500}&window=5m").json["changes"] == []
    timeline = client.get(f"/api/v1/timeline?from={T0}&to={T0 + 900}").json
    assert [one["title"] for one in timeline["changes"]] == ["cart 1.1"]


def test_a_version_that_was_reported_is_told_once(owned: tuple[Store, FlaskClient]) -> None:
    store, _ = owned
    for minutes, version in ((0, "1.0"), (10, "1.1")):
        write_facts(store, [("shop/cart", "service.version", version)], AT_MS + minutes * MINUTE_MS)
    at_ms = AT_MS + 8 * MINUTE_MS
    write_events(store, [
        Event(id=event_id("deployment", "shop/cart", at_ms), type="deployment", time_ms=at_ms, evident_ms=at_ms,
              detected_ms=at_ms, service="shop/cart", title="roll out"),
    ])  # fmt: skip
    assert [one.title for one in changes_between(store, AT_MS, AT_MS + 60 * MINUTE_MS)] == ["roll out"]


@pytest.mark.parametrize(
    ("minutes", "said"),
    [(0, "less than a minute before"), (1, "1 minute before"), (14, "14 minutes before"), (180, "3 hours before"),
     (4320, "3 days before")],
)  # fmt: skip
def test_how_long_ago(minutes: int, said: str) -> None:
    assert ago(minutes * MINUTE_MS) == said
