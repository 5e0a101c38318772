"""Owners of processes, over a /proc made by hand: ended processes, pids used again, changed programs, held sockets."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from chronotope.bpf.records import PROCESS
from chronotope.ingest.hosts.naming import NOBODY, Naming, Owner
from chronotope.ingest.hosts.processes import Processes

TICK_NS = 10_000_000
CONTAINER = "ab" * 32


class Proc:
    """A /proc of a few processes."""

    def __init__(self, path):
        self.path = path

    def start(self, pid, ticks, *, name="", environment=b"", cgroup="/", sockets=()):
        folder = self.path / str(pid)
        (folder / "fd").mkdir(parents=True, exist_ok=True)
        (folder / "stat").write_text(f"{pid} (x) S " + " ".join(["0"] * 18) + f" {ticks} 0 0")
        (folder / "environ").write_bytes(environment)
        (folder / "cmdline").write_bytes(name.encode() + b"\0" if name else b"")
        (folder / "cgroup").write_text(f"0::{cgroup}\n")
        for number, inode in enumerate(sockets):
            (folder / "fd" / str(number)).symlink_to(f"socket:[{inode}]")


@pytest.fixture
def proc(tmp_path):
    return Proc(tmp_path)


@pytest.fixture
def processes(proc):
    return Processes(Naming(), proc.path)


def event(pid, ticks, *, environment=b"", comm=b"tool", cgroup=1):
    row = np.zeros(1, PROCESS)
    row["pid"], row["start_ns"], row["comm"], row["cgroup"] = pid, ticks * TICK_NS + 5, comm, cgroup
    row["environ"], row["environ_bytes"] = np.void(environment.ljust(4096, b"\0")), len(environment)
    return row


def test_a_process_that_is_gone_is_known_by_what_the_kernel_copied(processes):
    processes.learn(event(7, 100, environment=b"A=b\0OTEL_SERVICE_NAME=job\0"))
    assert processes.owner(7, 100 * TICK_NS) == Owner("job")


def test_a_process_that_has_ended_and_is_not_reaped_is_known_likewise(proc, processes):
    """Its entries are there, but empty."""
    proc.start(7, 100, cgroup=f"/docker/{CONTAINER}")
    processes.learn(event(7, 100, environment=b"OTEL_SERVICE_NAME=job\0"))
    assert processes.owner(7, 100 * TICK_NS) == Owner("job", "", CONTAINER[:12])


def test_a_pid_that_is_used_again_is_another_process(proc, processes):
    proc.start(7, 100, name="first")
    processes.learn(event(7, 100))
    proc.start(7, 900, name="second")
    assert processes.owner(7, 100 * TICK_NS) == Owner("first")
    assert processes.owner(7, 900 * TICK_NS) == Owner("second")
    assert processes.owner(7, 500 * TICK_NS) == NOBODY


def test_after_an_exec_it_is_what_it_runs_now(proc, processes):
    proc.start(7, 100, name="sh")
    processes.learn(event(7, 100))
    proc.start(7, 100, name="server")
    processes.learn(event(7, 100))
    assert processes.owner(7, 100 * TICK_NS) == Owner("server")


def test_a_container_of_one_service_names_its_short_processes(proc, processes):
    proc.start(7, 100, name="server", cgroup=f"/docker/{CONTAINER}")
    processes.learn(np.concatenate([event(7, 100, cgroup=55), event(8, 200, cgroup=55)]))
    assert processes.owner(8, 200 * TICK_NS) == Owner("server", "", CONTAINER[:12])


def test_a_container_of_two_names_nothing(proc, processes):
    proc.start(7, 100, name="server", cgroup=f"/docker/{CONTAINER}")
    proc.start(9, 100, name="proxy", cgroup=f"/docker/{CONTAINER}")
    processes.learn(np.concatenate([event(7, 100, cgroup=55), event(9, 100, cgroup=55), event(8, 200, cgroup=55)]))
    assert processes.owner(8, 200 * TICK_NS) == NOBODY


def test_sockets_belong_to_the_oldest_process_that_holds_them(proc, processes):
    proc.start(20, 100, name="master", sockets=[501, 502])
    proc.start(10, 300, name="worker", sockets=[501, 503])
    assert not processes.knows_sockets([501])
    processes.find_sockets()
    assert processes.knows_sockets([501, 502, 503])
    assert [processes.owner_of_socket(inode).service for inode in (501, 502, 503, 504)] == [
        "master",
        "master",
        "worker",
        "",
    ]


def test_own_process_is_read_from_the_real_proc():
    assert Processes(Naming()).owner(os.getpid(), start_ns(os.getpid())).service


def start_ns(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[19]) * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
