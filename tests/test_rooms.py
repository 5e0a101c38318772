"""The table of rooms in the manual is the rule: every folder is in it, and imports nothing but what stands there."""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from pathlib import Path

import rustworkx as rx

ROOT = Path(__file__).resolve().parents[1]
ARCHITECTURE = ROOT / "server" / "manual" / "architecture.md"
TOP = ("schema", "bpf", "ingest", "server")
MOST_FILES = 25

FILES = [path.relative_to(ROOT) for top in TOP for path in sorted((ROOT / top).rglob("*.py"))]
MODULES = {".".join(("chronotope", *path.with_suffix("").parts)).removesuffix(".__init__"): path for path in FILES}


def room_of(path: Path) -> str:
    return path.parent.as_posix()


def rules() -> dict[str, set[str]]:
    """Return room -> rooms that it may import, as the table says."""
    rows = re.findall(r"^\| `([\w/]+)/` \|[^|]+\|([^|]*)\|$", ARCHITECTURE.read_text(), re.MULTILINE)
    return {room: set(re.findall(r"`([\w/]+)`", allowed)) for room, allowed in rows}


def is_ground(room: str) -> bool:
    """Whether every room above may import it: the table does not repeat that."""
    return room.startswith("schema")


def imported_modules(path: Path) -> set[str]:
    """Return our modules that a file imports, also those imported within a function."""
    found = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("chronotope")}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("chronotope"):
            for alias in node.names:
                within = f"{node.module}.{alias.name}"
                found.add(within if within in MODULES else node.module or "")
    return found


def arrows() -> dict[str, set[str]]:
    """Return room -> rooms that its files import."""
    found = defaultdict[str, set[str]](set)
    for path in FILES:
        found[room_of(path)] |= {room_of(MODULES[name]) for name in imported_modules(path)} - {room_of(path)}
    return found


def arrows_of_the_table() -> dict[str, set[str]]:
    """Return the arrows, without those from the rooms above to the ground."""
    return {
        room: {other for other in taken if is_ground(room) or not is_ground(other)} for room, taken in arrows().items()
    }


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    names = sorted({*graph, *(name for allowed in graph.values() for name in allowed)})
    number = {name: place for place, name in enumerate(names)}
    drawn = rx.PyDiGraph()
    drawn.add_nodes_from(names)
    drawn.add_edges_from([(number[a], number[b], None) for a in graph for b in graph[a]])
    return [[names[place] for place in part] for part in rx.strongly_connected_components(drawn) if len(part) > 1]


def test_every_room_stands_in_the_table():
    assert sorted(rules()) == sorted({room_of(path) for path in FILES})


def test_a_room_imports_only_what_the_table_allows():
    allowed, taken = rules(), arrows_of_the_table()
    broken = {room: sorted(others - allowed[room]) for room, others in taken.items() if others - allowed[room]}
    assert broken == {}


def test_the_table_allows_nothing_that_no_room_does():
    """A permission that nobody uses is a door that nobody watches."""
    taken = arrows_of_the_table()
    assert {room: sorted(allowed - taken[room]) for room, allowed in rules().items() if allowed - taken[room]} == {}


def test_no_circle_of_rooms_at_any_depth():
    taken = arrows()
    for depth in range(1, 6):
        cut = defaultdict[str, set[str]](set)
        for room, others in taken.items():
            short = "/".join(room.split("/")[:depth])
            cut[short] |= {"/".join(other.split("/")[:depth]) for other in others} - {short}
        assert circles(cut) == [], f"folders of depth {depth}"


def test_a_circle_would_be_found():
    assert [sorted(part) for part in circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}})] == [["a", "b", "c"]]


def test_no_folder_holds_more_files_than_a_reader_can_scan():
    counts = Counter(room_of(path) for path in FILES)
    assert {room: count for room, count in counts.items() if count > MOST_FILES} == {}


def test_only_the_composition_and_the_commands_know_both_halves():
    knowing = {room for room, taken in arrows().items() if any(other.startswith("ingest") for other in taken)}
    assert {room for room in knowing if not room.startswith("ingest")} == {"server/cli", "server/running"}
