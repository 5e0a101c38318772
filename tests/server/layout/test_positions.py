"""Places of services: the same for ever, whatever is seen later, by whichever server."""

from __future__ import annotations

from chronotope.schema.observations import observation_table
from chronotope.schema.storage.store import Store
from chronotope.server.api.app import create_app
from chronotope.server.evidence.settings import Settings
from chronotope.server.layout.positions import Places, Positions

T0 = 1_700_006_400


def see(store: Store, *edges: tuple[str, str], at: int = T0) -> None:
    """Write one call for each edge."""
    sources, targets = zip(*edges, strict=True)
    count = len(edges)
    columns = {"time": [at] * count, "layer": ["trace"] * count, "source": sources, "target": targets}
    columns |= {"protocol": ["http"] * count, "calls": [1] * count}
    store.insert("observations", observation_table({name: list(values) for name, values in columns.items()}))


def by_name(positions: Positions) -> dict[str, tuple[float, float]]:
    return dict(zip(positions.nodes, zip(positions.x, positions.y, strict=True), strict=True))


def test_services_that_come_later_move_nobody(store: Store):
    see(store, ("shop/front", "shop/cart"), ("shop/cart", "db"), ("shop/front", "pay/card"))
    places = Places(store)
    before = by_name(places.positions("", T0 * 1000))
    for later in range(6):
        see(store, ("shop/cart", f"new/{later}"), (f"new/{later}", "db"), at=T0 + 3600 * later)
        after = by_name(places.positions("", T0 * 1000))
        assert f"new/{later}" in after
        assert {name: after[name] for name in before} == before


def test_another_server_shows_the_same_places(store: Store):
    see(store, ("a", "b"), ("b", "c"), ("c", "d"))
    first = Places(store).positions("", T0 * 1000)
    see(store, ("d", "e"))
    second = Places(store)
    assert by_name(second.positions("", T0 * 1000)).items() >= by_name(first).items()
    assert by_name(Places(store).positions("", T0 * 1000)) == by_name(second.positions("", T0 * 1000))


def test_a_store_that_became_another_one_is_drawn_anew(store: Store):
    see(store, ("a", "b"))
    places = Places(store)
    assert places.positions("", T0 * 1000).generation == 1
    see(store, *((f"s{at}", f"s{at + 1}") for at in range(20)))
    found = places.positions("", T0 * 1000)
    assert (found.generation, len(found.nodes)) == (2, 23)


def test_groups_have_places_of_their_own(store: Store):
    see(store, ("shop/front", "shop/cart"), ("shop/cart", "pay/card"), ("pay/card", "db"))
    client = create_app(store, Settings(clock=lambda: T0 * 1000)).test_client()
    groups = client.get("/api/v1/positions?group_by=namespace").json
    at = dict(zip(groups["nodes"], groups["x"], strict=True))
    assert at["shop"] < at["pay"] < at["db"]
    assert len(client.get("/api/v1/positions").json["nodes"]) == 4


def test_an_empty_store_has_no_places(store: Store):
    assert Places(store).positions("", T0 * 1000) == Positions(0, [], [], [])


def test_places_are_given_also_where_they_cannot_be_stored(store: Store):
    see(store, ("a", "b"), ("b", "c"))
    store.command("DROP TABLE node_places")
    store.command(
        "CREATE VIEW node_places AS SELECT '' AS grouping, '' AS node, toUInt32(0) AS generation, "
        "toFloat32(0) AS x, toFloat32(0) AS y, now64(3) AS placed_at WHERE 0"
    )
    places = Places(store)
    before = by_name(places.positions("", T0 * 1000))
    see(store, ("c", "d"))
    assert by_name(places.positions("", T0 * 1000)).items() >= before.items()


def test_places_come_with_the_graph_and_with_grafanas_node_graph_when_asked_for(store: Store):
    see(store, ("shop/front", "shop/cart"), ("shop/cart", "db"))
    client = create_app(store, Settings(clock=lambda: (T0 + 60) * 1000)).test_client()
    plain = client.get("/api/v1/graph").json["nodes"]
    assert not any("x" in node for node in plain)
    placed = {node["id"]: node for node in client.get("/api/v1/graph?positions=true").json["nodes"]}
    assert placed["shop/front"]["x"] < placed["shop/cart"]["x"] < placed["db"]["x"]
    for path in ("/api/v1/graph?format=nodegraph&positions=true", "/api/v1/graph?format=nodegraph"):
        fields = {field["name"] for field in client.get(path).json["frames"][0]["schema"]["fields"]}
        assert ({"fixedx", "fixedy"} <= fields) == path.endswith("true")
    api = "/grafana/nodegraph/api/graph"
    named = {field["field_name"] for field in client.get(f"{api}/fields?positions=true").json["nodes_fields"]}
    rows = client.get(f"{api}/data?positions=true").json["nodes"]
    assert all(set(row) == named for row in rows)
    assert len({(row["fixedx"], row["fixedy"]) for row in rows}) == 3
