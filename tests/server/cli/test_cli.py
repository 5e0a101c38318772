from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from waitress.server import create_server

from chronotope.schema.names import edge_id
from chronotope.schema.storage.store import Store
from chronotope.server.api.app import create_app
from chronotope.server.cli.main import COMMANDS, main
from chronotope.server.evidence.settings import Settings

T0 = 1_700_006_400
EDGE = edge_id("shop/front", "shop/cart", "grpc")
WINDOW = ["--from", str(T0), "--to", str(T0 + 60)]


def run(*arguments: str, store: str = "chdb://memory") -> Result:
    return CliRunner(env={"CHRONOTOPE_STORE": store}).invoke(main, list(arguments), prog_name="chronotope")


@pytest.fixture(scope="module")
def server(history: Store) -> Iterator[str]:
    """A real server on a loopback port, over the same store."""
    app = create_app(history, Settings())
    listening = create_server(app, map={}, listen="127.0.0.1:0", asyncore_use_poll=True)
    thread = threading.Thread(target=listening.run, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.effective_port}"
    listening.close()
    thread.join(timeout=5)


@pytest.mark.parametrize(
    ("command", "route"),
    [
        (["graph", *WINDOW, "--measures", "full"], f"/api/v1/graph?from={T0}&to={T0 + 60}&measures=full"),
        (["graph", *WINDOW, "--layers", "ipc", "--layers", "trace"],
         f"/api/v1/graph?from={T0}&to={T0 + 60}&layers=ipc,trace"),
        (["timeline", *WINDOW, "--step", "10s"], f"/api/v1/timeline?from={T0}&to={T0 + 60}&step=10s"),
        (["services", *WINDOW], f"/api/v1/services?from={T0}&to={T0 + 60}"),
        (["services", "shop/cart", *WINDOW], f"/api/v1/services/shop%2Fcart?from={T0}&to={T0 + 60}"),
        (["edge", EDGE, *WINDOW], f"/api/v1/edges/{EDGE}?from={T0}&to={T0 + 60}"),
        (["services", "nobody"], "/api/v1/services/nobody"),
    ],
)  # fmt: skip
def test_json_is_exactly_the_http_body_from_a_store_and_from_a_server(
    history: Store, server: str, command: list[str], route: str
) -> None:
    answer = create_app(history, Settings()).test_client().get(route)
    direct = run(*command, "--format", "json")
    asked = run(*command, "--format", "json", "--server", server)
    if answer.status_code != 200:
        assert (direct.exit_code, asked.exit_code) == (1, 1)
        assert json.loads(answer.data)["detail"] in direct.stderr
        assert json.loads(answer.data)["detail"] in asked.stderr
        return
    assert direct.stdout_bytes == asked.stdout_bytes == answer.data


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (["graph", *WINDOW], ["shop/front", "shop/cart", "edge/envoy", "5 nodes, 4 edges"]),
        (["graph", "--at", str(T0 - 3600)], ["0 nodes, 0 edges", "Nothing was seen in this window"]),
        (["timeline", *WINDOW, "--step", "30s"], ["added", "2023-11-15T00:00:30.000Z"]),
        (["services", *WINDOW], ["shop/cart", "database", "team=checkout"]),
        (["services", "shop/cart", *WINDOW], ["callers", "callees", "ops/probe"]),
        (["graph", *WINDOW, "--format", "mermaid"], ["flowchart LR"]),
    ],
)
def test_people_see_a_table(history: Store, command: list[str], shown: list[str]) -> None:
    result = run(*command)
    assert result.exit_code == 0, result.stderr
    for text in shown:
        assert text in result.stdout


def test_an_edge_is_shown_step_by_step(history: Store) -> None:
    graph = json.loads(run("graph", *WINDOW, "--format", "json").stdout)
    result = run("edge", graph["edges"][-1]["id"], *WINDOW, "--step", "10s")
    assert "shop/front → shop/cart (grpc)" in result.stdout
    assert result.stdout.count("trace") == 2


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (["graph", "--at", "yesterday"], 2, "at 'yesterday' is not a time"),
        (["graph", "--layers", "foo"], 1, "layers 'foo' is not known"),
        (["graph", "--nonsense"], 2, "No such option"),
        (["nonsense"], 2, "No such command"),
        (["services", "nobody"], 1, "service 'nobody' was never seen"),
        (["graph", "--server", "localhost"], 2, "accepted: http://host:port"),
        (["graph", "--server", "http://127.0.0.1:9"], 1, "cannot be reached"),
        (["graph", "--store", "chdb:///nowhere/at/all"], 1, "no store is at chdb:///nowhere/at/all"),
        (["graph", "--store", "sqlite://x"], 2, "is not a store address"),
    ],
)
def test_a_refusal_is_one_line_and_an_exit_code(history: Store, command: list[str], code: int, said: str) -> None:
    result = run(*command)
    assert result.exit_code == code
    assert said in result.stderr
    assert result.stdout == ""
    assert len(result.stderr.strip().splitlines()) == 1 or "Usage" in result.stderr


def test_a_reading_command_makes_no_store(tmp_path: Path) -> None:
    assert run("graph", store=f"chdb://{tmp_path}/new").exit_code == 1
    assert list(tmp_path.iterdir()) == []


def test_no_store_at_all_is_wrong_usage() -> None:
    assert run("graph", store="").exit_code == 2


def test_every_command_teaches_by_example() -> None:
    assert all(name in run("--help").stdout for name in COMMANDS)
    for name in ("graph", "timeline", "services", "edge", "schema"):
        text = run(name, "--help").stdout
        assert "Examples:" in text
        assert f"chronotope {name}" in text


def test_the_schema_commands_apply_check_and_show(tmp_path: Path) -> None:
    """In a process of its own: an embedded engine is one a process."""
    code = "from chronotope.server.cli.main import main; main(prog_name='chronotope')"

    def chronotope(*arguments: str) -> Any:
        command = [sys.executable, "-c", code, *arguments, "--store", f"chdb://{tmp_path}/store"]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert chronotope("schema", "check").returncode == 1
    assert "applied 0001_observations" in chronotope("schema", "apply").stdout
    assert "nothing to apply" in chronotope("schema", "apply").stdout
    assert chronotope("schema", "check").returncode == 0
    assert "CREATE TABLE" in chronotope("schema", "show").stdout


def test_a_reading_command_imports_neither_the_server_nor_the_collectors() -> None:
    code = (
        "import sys; from chronotope.server.cli.main import main; import chronotope.server.cli.reading; "
        "print([name for name in ('flask', 'numba', 'grpc', 'waitress') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
