"""One run of the lab: callers, HAProxy and nginx, targets, the agent and a server, and what truly was.

Truth comes from the targets' own logs: who asked them how often.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.process import ChronotopeProcess, ServerProcess
from tests.lab import proxies
from tests.lab.proxies import FIRST_SINGLE, SHARED, TARGET_PORT
from tests.lab.wires import Wires

HERE = Path(__file__).parent
PROXIES = ("haproxy", "nginx")


@dataclass(frozen=True)
class Plan:
    """Who calls whom through which proxy: through the shared listener, and through listeners of one target."""

    callers: tuple[str, ...]
    targets: tuple[str, ...]
    shared: dict[str, set[tuple[str, str]]]
    single: dict[str, dict[int, tuple[str, set[str]]]]

    @property
    def certain(self) -> set[tuple[str, str, str]]:
        """(caller, target, proxy) behind listeners that have one target."""
        return {
            (caller, target, proxy)
            for proxy, ports in self.single.items()
            for target, callers in ports.values()
            for caller in callers
        }

    @property
    def all(self) -> set[tuple[str, str, str]]:
        """(caller, target, proxy) of all pairs."""
        return self.certain | {
            (caller, target, proxy) for proxy, pairs in self.shared.items() for caller, target in pairs
        }


def draw(seed: int, callers: int = 5, targets: int = 5) -> Plan:
    """Draw who calls whom."""
    rng = random.Random(seed)
    who = tuple(f"caller-{at}" for at in range(callers))
    whom = tuple(f"target-{at}" for at in range(targets))
    shared: dict[str, set[tuple[str, str]]] = {}
    single: dict[str, dict[int, tuple[str, set[str]]]] = {}
    for proxy in PROXIES:
        shared[proxy] = {
            (caller, target) for caller in who for target in rng.sample(whom[1:], rng.randint(1, max(targets // 2, 1)))
        }
        single[proxy] = {FIRST_SINGLE: (whom[0], set(rng.sample(who, 2)))}
    return Plan(who, whom, shared, single)


def configuration(plan: Plan, wires: Wires) -> dict[str, Any]:
    """Return what an operator would write: the proxies, and the target of each listener that has one."""
    entries: list[dict[str, Any]] = [{"service": proxy} for proxy in PROXIES]
    for proxy, ports in plan.single.items():
        for port, (target, _) in ports.items():
            listener = f"{wires.addresses[proxy]}:{port}"
            entries.append({"service": proxy, "listener": listener, "targets": [target]})
    return {"intermediaries": entries}


def start_hosts(plan: Plan, wires: Wires, folder: Path) -> None:
    """Start targets and proxies, and wait until they listen."""
    for target in plan.targets:
        wires.start(target, sys.executable, str(HERE / "target.py"), str(TARGET_PORT), str(folder / f"{target}.json"))
    for proxy in PROXIES:
        shared = {target: wires.addresses[target] for _, target in sorted(plan.shared[proxy])}
        single = {port: wires.addresses[target] for port, (target, _) in plan.single[proxy].items()}
        file = folder / f"{proxy}.conf"
        if proxy == "haproxy":
            file.write_text(proxies.haproxy(shared, single))
            wires.start(proxy, "haproxy", "-db", "-f", str(file))
        else:
            file.write_text(proxies.nginx(str(folder), shared, single))
            wires.start(proxy, "nginx", "-c", str(file), "-e", str(folder / "error.log"))
    time.sleep(1.5)


def plan_of(caller: str, plan: Plan, wires: Wires, seed: int, seconds: float, rate: float) -> dict[str, Any]:
    """Return what one caller is told; every other one keeps its connections."""
    rng = random.Random(f"{seed} {caller}")
    calls = []
    for proxy in PROXIES:
        ways = [(SHARED, target) for own, target in sorted(plan.shared[proxy]) if own == caller]
        ways += [(port, target) for port, (target, callers) in plan.single[proxy].items() if caller in callers]
        calls += [
            {
                "host": wires.addresses[proxy],
                "port": port,
                "path": f"/{target}/x",
                "rate": rate * rng.lognormvariate(0, 0.5),
                "asks": 300 * rng.lognormvariate(0, 0.5),
                "answers": 3000 * rng.lognormvariate(0, 1.0),
            }
            for port, target in ways
        ]
    keep = plan.callers.index(caller) % 2 == 1
    return {"name": caller, "seed": rng.random(), "seconds": seconds, "keep": keep, "calls": calls}


@dataclass(frozen=True)
class Run:
    """What was true, and what a server said.

    Attributes:
        truth: (caller, target) → calls, by the targets' logs.
        plan: who was told to call whom.
        resolved: the graph of flows through proxies.
        hops: the graph of hops.
    """

    truth: dict[tuple[str, str], int]
    plan: Plan
    resolved: dict[str, Any]
    hops: dict[str, Any]

    @property
    def found(self) -> dict[tuple[str, str, str], tuple[float, bool]]:
        """(caller, target, proxy) → confidence and whether it was inferred; edges through one proxy or several."""
        return {
            (edge["source"], edge["target"], via): (edge["confidence"], edge["inferred"])
            for edge in self.resolved["edges"]
            for via in edge["via"]
        }


def run(folder: Path, seed: int, seconds: float, *, rate: float = 12.0, callers: int = 5, targets: int = 5) -> Run:
    """Let the lab run for so many seconds of traffic, and ask the server."""
    plan = draw(seed, callers, targets)
    with Wires([*plan.callers, *plan.targets, *PROXIES]) as wires:
        config = folder / "config.yaml"
        config.write_text(yaml.safe_dump(configuration(plan, wires)))
        start_hosts(plan, wires, folder)
        with ServerProcess(f"chdb://{folder}/store", "--config", str(config)) as server:
            began = int(time.time())
            with _agent(server):
                _call(plan, wires, seed, seconds, rate)
                time.sleep(6)  # connections that were kept close, and the agent reads once more
            window = {"from": began, "to": int(time.time()) + 10, "layers": "network"}
            _settled(server)
            resolved, hops = server.get("/api/v1/graph", **window), server.get("/api/v1/graph", **window, view="hops")
    truth = {
        (caller, target): calls
        for target in plan.targets
        for caller, calls in json.loads((folder / f"{target}.json").read_text()).items()
    }
    return Run(truth, plan, resolved, hops)


def _call(plan: Plan, wires: Wires, seed: int, seconds: float, rate: float) -> None:
    processes = [
        wires.start(
            caller,
            sys.executable,
            str(HERE / "caller.py"),
            json.dumps(plan_of(caller, plan, wires, seed, seconds, rate)),
        )
        for caller in plan.callers
    ]
    for process in processes:
        try:
            process.wait(seconds + 30)
        except subprocess.TimeoutExpired as error:
            raise RuntimeError("a caller does not end") from error


@contextmanager
def _agent(server: ServerProcess) -> Iterator[ChronotopeProcess]:
    with ChronotopeProcess("agent", "flows", "--server", server.url) as agent:
        time.sleep(4)  # it compiles its programs
        if agent.process.poll() is not None:
            raise RuntimeError(f"the agent ended:\n{agent.log}")
        yield agent
        agent.stop()


def _settled(server: ServerProcess) -> None:
    """Wait until a round has begun and ended since what came last."""
    rounds = "chronotope_intermediaries_rounds_total"
    done = server.metric(rounds) + 2
    deadline = time.monotonic() + 180
    while server.metric(rounds) < done:
        if time.monotonic() > deadline:
            raise RuntimeError(f"the resolution takes too long:\n{server.log}")
        time.sleep(0.5)
