"""The agent as it is run, with real traffic between namespaces and a real server: the graph is what happened."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.bpf.network import SERVER4, Network
from tests.e2e.process import ChronotopeProcess, ServerProcess, chronotope
from tests.needs import need_bpf

pytestmark = pytest.mark.slow

SERVES = """
import socket, sys
with socket.create_server(("0.0.0.0", 7501)) as listener:
    print("serving", flush=True)
    while True:
        connection, _ = listener.accept()
        with connection:
            while connection.recv(4096):
                pass
            connection.sendall(b"a" * 200)
"""
ASKS = """
import socket, sys
with socket.create_connection((sys.argv[1], 7501)) as connection:
    connection.sendall(b"q" * 100)
    connection.shutdown(socket.SHUT_WR)
    while connection.recv(4096):
        pass
"""
FAILS = "import socket, sys; socket.socket().connect_ex((sys.argv[1], 7502))"


@pytest.fixture(scope="module", autouse=True)
def _kernel():
    need_bpf()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def named(name):
    return {"OTEL_SERVICE_NAME": name, "OTEL_RESOURCE_ATTRIBUTES": "service.namespace=lab"}


def edges_of(server, at):
    edges = server.get("/api/v1/graph", **{"from": at, "to": "now+1m", "layers": "network"})["edges"]
    return {(edge["source"], edge["target"]): edge["evidence"]["network"] for edge in edges if "lab/" in edge["source"]}


def owner_of(server, address):
    """Who the server takes an address for, by a flow of somebody who does not know."""
    flow = {"start": int(time.time()), "client_address": "10.99.0.1", "server_address": address, "server_port": 9999}
    line = json.dumps({**flow, "observer": "client", "service": "outsider", "connections": 1})
    assert server.post("/api/v1/flows", line.encode(), "application/x-ndjson")[0] == 200
    edges = server.get("/api/v1/graph", at="now+1m", window="10m")["edges"]
    return next(edge["target"] for edge in edges if edge["source"] == "outsider")


def wait_until_few(spool):
    """Wait until the server has taken what had waited; new batches come while this one looks."""
    deadline = time.monotonic() + 90
    while len(list(spool.glob("*.arrow"))) > 2 and time.monotonic() < deadline:
        time.sleep(0.1)


class Web:
    """A server in the server's namespace, named by its environment."""

    def __init__(self, network):
        name = network.server.rpartition("/")[2]
        self._command = ["ip", "netns", "exec", name, sys.executable, "-S", "-c", SERVES]

    def __enter__(self):
        self._process = subprocess.Popen(self._command, env=named("web"), stdout=subprocess.PIPE, text=True)
        assert self._process.stdout.readline() == "serving\n"
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.communicate()


def test_short_processes_and_a_server_that_comes_late_lose_nothing(tmp_path):
    """Each connection is made by a process of its own that lives some milliseconds; the server starts afterwards."""
    port, started = free_port(), int(time.time())
    with (
        Network() as network,
        ChronotopeProcess(
            *("agent", "flows", "--server", f"http://127.0.0.1:{port}", "--interval", "2s"),
            *("--spool", str(tmp_path / "spool"), "--host", "host-1"),
        ) as agent,
        Web(network),
    ):
        agent.wait_for("(watching) flows")
        for _ in range(12):
            network.exec("client", sys.executable, "-S", "-c", ASKS, SERVER4, env=named("shopper"))
        for _ in range(3):
            network.exec("client", sys.executable, "-S", "-c", FAILS, SERVER4, env=named("lost"))
        time.sleep(2.2)
        assert list((tmp_path / "spool").glob("*.arrow")), "batches wait on disk"
        libraries = Path(f"/proc/{agent.process.pid}/maps").read_text()
        assert "/pyarrow/" in libraries
        assert "/pandas/" not in libraries, "pyarrow would take it along, for 40 MB that nobody needs"
        with ServerProcess(f"chdb://{tmp_path}/store", "--listen", f"127.0.0.1:{port}") as server:
            wait_until_few(tmp_path / "spool")
            assert agent.stop() == 0
            assert list((tmp_path / "spool").iterdir()) == []
            assert not re.search("refuses a batch|refused some", agent.log), (
                "flows and claims are as the server wants them"
            )
            assert owner_of(server, SERVER4) == "lab/web"
            edges = edges_of(server, started)
    assert list(edges) == [("lab/shopper", "lab/web")], "failed connections alone make no edge"
    network_measures = edges["lab/shopper", "lab/web"]
    said = [network_measures[name] for name in ("connections", "failed_connections", "bytes_sent", "bytes_received")]
    assert said == [12, 0, 12 * 100, 12 * 200]


def test_it_says_what_is_missing_instead_of_failing(tmp_path):
    """Without the capabilities: one line that names them, not a stack trace."""
    words = ["setpriv", "--bounding-set=-sys_admin,-bpf,-perfmon,-net_admin", "--inh-caps=-all"]
    command = [*words, sys.executable, "-m", "chronotope.server.cli", "agent", "flows"]
    run = subprocess.run([*command, "--server", "http://127.0.0.1:1"], capture_output=True, text=True, timeout=60)
    assert run.returncode == 1
    refusals = [line for line in run.stderr.splitlines() if line.startswith("chronotope: ")]
    assert len(refusals) == 1
    assert "CAP_BPF" in refusals[0]
    assert "Traceback" not in run.stderr
    check = subprocess.run([*command, "--check"], capture_output=True, text=True, timeout=60)
    assert check.returncode == 1
    assert re.search(r"MISSING +CAP_BPF", check.stdout)


def test_check_says_that_this_host_can():
    check = chronotope("agent", "flows", "--check")
    assert (check.returncode, "MISSING" in check.stdout) == (0, False)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--server", "nowhere"], "--server"),
        (["--server", "http://x", "--interval", "3s"], "--interval"),
        (["--server", "http://x", "--spool-limit", "much"], "--spool-limit"),
        ([], "no server is given"),
    ],
)
def test_wrong_options_are_named(words, says):
    run = chronotope("agent", "flows", *words)
    assert (run.returncode, says in run.stderr) == (2, True), run.stderr


def test_own_metrics_can_be_read(tmp_path):
    metrics = free_port()
    with ChronotopeProcess(
        *("agent", "flows", "--server", "http://127.0.0.1:9", "--metrics-listen", f"127.0.0.1:{metrics}"),
    ) as agent:
        agent.wait_for("(watching) flows")
        text = urllib.request.urlopen(f"http://127.0.0.1:{metrics}/metrics", timeout=10).read().decode()
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(values["chronotope_agent_connections_limit"]) == 131_072
    assert float(values['chronotope_agent_lost_total{what="connections"}']) == 0
