"""The collector of endpoints is stopped, killed and started: what it stores is what happened."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.ingest.metrics.sources.http_stage import Reply, stage

from chronotope.ingest.metrics.sources.collector import MetricsCollector
from chronotope.schema.config.config import Config
from chronotope.schema.config.metrics import MappingEntry, MetricsSection, TargetEntry
from chronotope.schema.errors import StoreError
from chronotope.schema.storage.migrate import migrate
from chronotope.schema.storage.store import Store

pytestmark = pytest.mark.slow

CODES = ("200", "404", "503")
T0_S = 1_700_000_000


class Killed(Exception):
    """The process ends here."""


@dataclass
class World:
    """A program that shows a series from its first call on, and the collectors that read it one after the other."""

    url: str
    store: Store
    run: int = 0  # a new name for each example: all share one store
    calls: dict[str, int] = field(default_factory=dict)
    happened: int = 0
    now_s: float = T0_S
    inserts: int | None = None  # after how many inserts the process is killed, or the store fails
    failure: type[Exception] = Killed
    collector: MetricsCollector | None = None

    def text(self) -> bytes:
        """What the program answers when it is scraped."""
        return "".join(f'calls_total{{code="{code}"}} {n}\n' for code, n in self.calls.items()).encode()

    def start(self, wanted: str = "calls_total") -> None:
        """Begin a process."""
        mapping = MappingEntry.model_validate(
            {
                "name": "own",
                "source": {"scraped": True},
                "target": {"name": f"to{self.run}"},
                "families": {wanted: {"measure": "calls", "codes": "{code}"}, "others": {"measure": "calls"}},
            }
        )
        target = TargetEntry(url=f"{self.url}/{self.run}", service=f"from{self.run}")
        config = Config(metrics=MetricsSection(presets=[], mappings=[mapping], targets=[target]))
        self.collector = MetricsCollector(self, config, clock=lambda: self.now_s)  # type: ignore[arg-type]
        self.collector.rounds.stop(0)  # it does not wait before it tries again

    def round(self) -> None:
        """Scrape; a killed process is followed by another."""
        assert self.collector is not None
        try:
            self.collector.round()
        except Killed:
            self.inserts = None
            self.start()

    def insert(self, table: str, columns: pa.Table, token: str = "") -> None:
        """Insert into the store, unless the process ends before."""
        if self.inserts == 0:
            raise self.failure("the store takes none")
        self.store.insert(table, columns, token)
        if self.inserts is not None:
            self.inserts -= 1

    def query(self, *arguments: object) -> pa.Table:
        """Ask the store."""
        return self.store.query(*arguments)  # type: ignore[arg-type]

    def command(self, *arguments: object) -> object:
        """Tell the store."""
        return self.store.command(*arguments)  # type: ignore[arg-type]

    def stored(self) -> int:
        """Calls in the store."""
        rows = self.store.rows(
            "SELECT sum(calls) FROM edges_10s WHERE source = {own:String}", {"own": f"from{self.run}"}
        )
        return int(rows[0][0])


numbers = itertools.count(1)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with Store.open("chdb://memory") as store:
        migrate(store)
        here: list[World] = []
        with stage(lambda *_: Reply(here[0].text())) as url:
            here.append(World(url, store))
            yield here[0]


STEPS = st.one_of(
    st.tuples(st.just("call"), st.sampled_from(CODES), st.integers(1, 5)),
    st.tuples(st.just("round"), st.just(""), st.integers(1, 60)),
    st.tuples(st.just("restart"), st.just(""), st.just(0)),
    st.tuples(st.just("kill"), st.just(""), st.integers(0, 3)),
    st.tuples(st.just("store fails"), st.just(""), st.integers(0, 2)),
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, max_size=14))
def test_calls_between_first_and_last_scrape_are_stored_once(world: World, steps: list[tuple[str, str, int]]) -> None:
    """Wherever a process is killed: before its state is saved, between that and its observations, or after."""
    world.run, world.calls, world.happened, world.inserts, world.now_s = next(numbers), {}, 0, None, T0_S
    world.failure = Killed
    world.start()
    world.round()
    for step, code, number in steps:
        if step == "call":
            world.calls[code] = world.calls.get(code, 0) + number
            world.happened += number
        elif step == "restart":
            world.start()
        elif step in ("kill", "store fails"):
            world.inserts, world.failure = number, Killed if step == "kill" else Unreachable
        else:
            world.now_s += number
            try:
                world.round()
            except StoreError:
                world.inserts = None
            assert world.stored() <= world.happened
    world.inserts = None
    for _ in range(2):  # the first may only repeat what a killed process had under way
        world.now_s += 10
        world.round()
    assert world.stored() == world.happened


class Unreachable(StoreError):
    """The store is down, and the process lives on."""


def test_metric_that_was_not_read_before_is_not_born(world: World) -> None:
    """After a restart with another configuration its old value is no calls."""
    world.run, world.calls, world.inserts = next(numbers), {"200": 1000}, None
    world.start("other_total")
    world.round()
    world.start()
    world.now_s += 10
    world.round()
    assert world.stored() == 0
    world.calls["200"] += 3
    world.calls["503"] = 2
    world.now_s += 10
    world.round()
    assert world.stored() == 5


def test_observations_of_long_ago_are_not_inserted_again(world: World) -> None:
    """The store may have forgotten their token."""
    world.run, world.calls, world.inserts = next(numbers), {"200": 0}, None
    world.start()
    world.round()
    world.calls["200"] = 7
    world.now_s += 10
    world.round()
    assert world.stored() == 7
    world.store.command("ALTER TABLE edges_10s MODIFY SETTING non_replicated_deduplication_window = 0")
    world.now_s += 7200
    world.start()
    world.round()
    world.store.command("ALTER TABLE edges_10s MODIFY SETTING non_replicated_deduplication_window = 10000")
    assert world.stored() == 7


def test_what_is_remembered_is_bounded(world: World) -> None:
    """However many rounds, processes and series there were, and the counters of today go on."""
    world.run, world.calls, world.inserts = next(numbers), {"200": 0}, None
    world.now_s = T0_S + 50 * 86_400  # later than all other tests
    world.start()
    for _ in range(3):
        for _ in range(3):
            world.calls["200"] += 2
            world.round()
            world.now_s += 10
        world.now_s += 8 * 86_400
    world.start()
    world.round()
    world.now_s += 10
    world.calls["200"] += 5
    world.round()
    assert world.stored() == 2 * 2 * 3 + 5
    rows = world.store.rows("SELECT series, max(round) FROM metric_counters GROUP BY series")
    assert min(latest for _, latest in rows) >= (world.now_s - 3700) * 1000
    assert len(rows) <= 5
