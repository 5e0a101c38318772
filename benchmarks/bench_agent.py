"""What the flow collector costs the traffic it watches: nginx under wrk on loopback, with and without the agent.

Runs with and without alternate, and each run with it is compared with the mean of its two neighbours without, so that a
machine that grows slower or faster cancels out; what is told is the median of these comparisons, with their quartiles
and the load of the machine. The agent sends to a server that takes everything and does nothing, as a server elsewhere
would. On a busy machine that still says little, so that one thread that is both ends tells what is added to its own CPU
time, of many samples of a millisecond the tenth part that was disturbed least. Needs root, nginx and wrk.
"""

from __future__ import annotations

import http.server
import itertools
import os
import re
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from benchmarks.program_times import program_times
from tests.e2e.process import ChronotopeProcess
from tests.needs import need_bpf

from chronotope.bpf.program import FlowProgram, Limits
from chronotope.bpf.requirements import cgroup_root

BPF_STATS = Path("/proc/sys/kernel/bpf_stats_enabled")
UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}
TICKS = os.sysconf("SC_CLK_TCK")


class Load(NamedTuple):
    """One run of wrk."""

    per_second: float
    requests: int
    p99_ms: float
    cpu_us: float  # of nginx and wrk for each request, with what kernel programs add to it


class Nginx(NamedTuple):
    """A server with one worker."""

    url: str
    pid: int

    def cpu_s(self) -> float:
        """CPU time that its worker has used."""
        worker = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()[0]
        return int(Path(f"/proc/{worker}/schedstat").read_text().split()[0]) / 1e9


class Taking(http.server.BaseHTTPRequestHandler):
    """Takes every batch."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        answer = b'{"accepted": 1, "rejected": 0}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    need_bpf()
    if not (shutil.which("nginx") and shutil.which("wrk")):
        pytest.skip("nginx and wrk are not installed")
    folder, port = tmp_path_factory.mktemp("nginx"), free_port()
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;\n"
        "events {worker_connections 4096;}\n"
        f"http {{access_log off; keepalive_requests 100000000; server {{listen 127.0.0.1:{port} backlog=4096;\n"
        'location / {return 200 "ok\\n";}}}\n'
    )
    process = subprocess.Popen(["nginx", "-c", str(config), "-p", str(folder)])
    wait_for(port)
    yield Nginx(f"http://127.0.0.1:{port}/", process.pid)
    process.send_signal(signal.SIGTERM)
    process.wait(10)


@pytest.fixture(scope="module")
def taking() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Taking)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("watched", ["tcp", "tcp_and_udp"])
@pytest.mark.parametrize("connections", ["new", "kept"])
@pytest.mark.sizes("size", [(2, 3)], [(10, 3)])
def test_agent_beside_a_loaded_server(
    benchmark: Any, nginx: Nginx, taking: str, tmp_path: Path, connections: str, watched: str, size: tuple[int, int]
) -> None:
    """`size`: runs with the agent, and seconds of each."""
    runs, seconds = size
    header = ("-H", "Connection: close") if connections == "new" else ()
    config = tmp_path / "agent.yaml"
    config.write_text(f"agent: {{datagrams: {str(watched == 'tcp_and_udp').lower()}}}\n")

    def load() -> Load:
        return run_wrk(nginx, seconds, header)

    load()
    without, beside, used, peak_kb, missed = [load()], [], [], 0, 0.0
    for _ in range(runs):
        with Agent(taking, config) as agent:
            beside.append(load())
            used.append(agent.cpu_s() / seconds)
            peak_kb = max(peak_kb, agent.peak_kb())
            told = agent.settled()
        without.append(load())
        missed += told.pop('chronotope_agent_lost_total{what="changes"}')  # of all that the machine does
        assert not {name: value for name, value in told.items() if "_lost_" in name and value}
        if connections == "new":
            opened = told['chronotope_agent_events_total{event="opened"}']
            assert opened >= 2 * beside[-1].requests, "each connection is seen from both ends"
    with Agent(taking, config) as agent, accounts():
        benchmark.pedantic(load, rounds=1)
        programs = agent.programs()
    benchmark.extra_info.update(
        {
            "load": os.getloadavg()[0],
            "per_second_without": round(statistics.median(run.per_second for run in without)),
            "per_second_with": round(statistics.median(run.per_second for run in beside)),
            "throughput_lost_percent": compared(without, beside, "per_second", -1),
            "cpu_us_a_request_without": round(statistics.median(run.cpu_us for run in without), 2),
            "cpu_us_a_request_with": round(statistics.median(run.cpu_us for run in beside), 2),
            "cpu_a_request_grown_percent": compared(without, beside, "cpu_us", 1),
            "p99_ms_without": round(statistics.median(run.p99_ms for run in without), 3),
            "p99_ms_with": round(statistics.median(run.p99_ms for run in beside), 3),
            "p99_grown_percent": compared(without, beside, "p99_ms", 1),
            "agent_cpu_percent": round(100 * statistics.median(used), 2),
            "agent_peak_mb": round(peak_kb / 1024),
            "programs_ns_a_run": programs,
            "changes_missed": missed,
        }
    )


@pytest.mark.parametrize("watched", ["tcp", "tcp_and_udp"])
@pytest.mark.parametrize("connections", ["new", "kept"])
@pytest.mark.sizes("rounds", [1], [8])
def test_what_the_programs_add(benchmark: Any, connections: str, watched: str, rounds: int) -> None:
    """CPU time of a request in one thread, with and without the programs, in turn; nobody reads them."""
    need_bpf()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    without, beside = [], []
    with (ask_anew if connections == "new" else ask_again)() as ask:
        for _ in range(rounds):
            without += samples(ask)
            program = FlowProgram(Limits(), cgroup=cgroup_root(), datagrams=watched == "tcp_and_udp")
            beside += samples(ask)
            opened = program.counters()["opened"]
            program.close()
        benchmark.pedantic(ask, rounds=1)
    assert connections == "kept" or opened >= 2 * SAMPLES * REQUESTS["anew"], "each is seen from both ends"
    least_ns, added_ns = least(without), least(beside) - least(without)
    benchmark.extra_info.update(
        {
            "load": os.getloadavg()[0],
            "cpu_us_a_request_without": round(least_ns / 1000, 2),
            "added_us": round(added_ns / 1000, 2),
            "added_percent": round(100 * added_ns / least_ns, 2),
        }
    )


@pytest.mark.parametrize("interval", ["2s", "5s"])
@pytest.mark.sizes("reads", [3], [10])
def test_agent_when_nothing_happens(benchmark: Any, taking: str, interval: str, reads: int) -> None:
    """What an agent takes that has nothing to tell."""
    need_bpf()
    with Agent(taking, interval=interval) as agent:
        benchmark.pedantic(time.sleep, args=(reads * int(interval[:-1]),), rounds=1)
        used_s = agent.cpu_s()
        benchmark.extra_info.update(
            {
                "load": os.getloadavg()[0],
                "agent_cpu_percent": round(100 * used_s / (reads * int(interval[:-1])), 2),
                "cpu_ms_a_read": round(1000 * used_s / reads, 1),
                "agent_mb": round(agent.now_kb() / 1024),
            }
        )


SAMPLES = 150
REQUESTS = {"anew": 20, "again": 100}  # in a sample: each takes a millisecond or two


@contextmanager
def ask_anew() -> Iterator[Callable[[], float]]:
    """A request over a connection of its own, as one thread that is both ends; nanoseconds of CPU each."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        address = listener.getsockname()

        def anew() -> float:
            begin_ns = time.thread_time_ns()
            for _ in range(REQUESTS["anew"]):
                with socket.create_connection(address) as client, listener.accept()[0] as server:
                    exchange(client, server)
                    server.shutdown(socket.SHUT_WR)
                    client.recv(1000)
            return (time.thread_time_ns() - begin_ns) / REQUESTS["anew"]

        yield anew


@contextmanager
def ask_again() -> Iterator[Callable[[], float]]:
    """A request over one connection that is kept."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as client,
        listener.accept()[0] as server,
    ):

        def again() -> float:
            begin_ns = time.thread_time_ns()
            for _ in range(REQUESTS["again"]):
                exchange(client, server)
            return (time.thread_time_ns() - begin_ns) / REQUESTS["again"]

        yield again


def exchange(client: socket.socket, server: socket.socket) -> None:
    """A request and its answer."""
    client.send(b"q" * 40)
    server.recv(1000)
    server.send(b"a" * 150)
    client.recv(1000)


def samples(ask: Callable[[], float]) -> list[float]:
    """Many, after a warm-up."""
    return [ask() for _ in range(SAMPLES + 10)][10:]


def least(of: list[float]) -> float:
    """The first decile: those that neighbours did not disturb."""
    return statistics.quantiles(of, n=10)[0]


@contextmanager
def accounts() -> Iterator[None]:
    """Let the kernel account for its programs: that costs time itself."""
    BPF_STATS.write_text("1")
    try:
        yield
    finally:
        BPF_STATS.write_text("0")


def compared(without: list[Load], beside: list[Load], name: str, sign: int) -> list[float]:
    """How much more (with sign -1: less) it is with the agent, in percent: lower quartile, median, upper quartile."""
    values = [getattr(run, name) for run in without]
    means = [(before + after) / 2 for before, after in itertools.pairwise(values)]
    changes = [100 * sign * (getattr(run, name) / mean - 1) for run, mean in zip(beside, means, strict=True)]
    return [round(part, 2) for part in statistics.quantiles(changes, n=4, method="inclusive")]


class Agent:
    """`chronotope agent flows`, with the kernel's own accounts of its programs."""

    def __init__(self, server: str, config: Path | None = None, interval: str = "5s") -> None:
        self._metrics = free_port()
        options = ["--server", server, "--metrics-listen", f"127.0.0.1:{self._metrics}", "--interval", interval]
        self._process = ChronotopeProcess("agent", "flows", *options, *(("--config", str(config)) if config else ()))

    def __enter__(self) -> Agent:
        self._process.wait_for("(watching) flows")
        self._cpu_s = self._consumed_s()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stop(signal.SIGTERM) == 0
        self._process.__exit__()

    def cpu_s(self) -> float:
        """CPU time since it began to watch."""
        return self._consumed_s() - self._cpu_s

    def peak_kb(self) -> int:
        """The most memory it ever had."""
        return int(self._status("VmHWM"))

    def now_kb(self) -> int:
        """The memory it has."""
        return int(self._status("VmRSS"))

    def settled(self) -> dict[str, float]:
        """Its metrics, once everything of the run was read."""
        text = urllib.request.urlopen(f"http://127.0.0.1:{self._metrics}/metrics", timeout=10).read().decode()
        pairs = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    def programs(self) -> dict[str, float]:
        """Nanoseconds that a run of each program took, by the kernel's account."""
        ours = (account for account in program_times() if account[0].startswith("on_"))
        return {name: round(spent_ns / runs) for name, spent_ns, runs in ours if runs}

    def _consumed_s(self) -> float:
        fields = Path(f"/proc/{self._process.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def _status(self, name: str) -> str:
        text = Path(f"/proc/{self._process.process.pid}/status").read_text()
        return re.search(rf"{name}:\s+(\d+)", text)[1]


def run_wrk(nginx: Nginx, seconds: int, header: tuple[str, ...]) -> Load:
    command = ["wrk", "-t1", "-c32", f"-d{seconds}s", "--latency", *header, nginx.url]
    before_s, children = nginx.cpu_s(), resource.getrusage(resource.RUSAGE_CHILDREN)
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    wrk_s = after.ru_utime + after.ru_stime - children.ru_utime - children.ru_stime
    cpu_us = (nginx.cpu_s() - before_s + wrk_s) * 1e6
    tail = re.search(r"99%\s+([\d.]+)(us|ms|s)", said)
    requests = int(re.search(r"(\d+) requests in", said)[1])
    errors = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    assert errors is None, said
    return Load(
        float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1]),
        requests,
        float(tail[1]) * UNITS[tail[2]],
        cpu_us / requests,
    )


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    pytest.fail("nginx did not start")
