"""What a test needs of its machine, and closing lines that say why tests were skipped for want of it.

Invariant: a skip that comes from here opens with one of the texts in `CLOSING`. The closing lines are read from the
reports of the skipped tests, so they are the same when pytest-xdist runs the tests in other processes.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NoReturn

import pytest

from chronotope.bpf.compiling import PACKAGE as BCC
from chronotope.bpf.requirements import check_host

PACKAGES = {
    "chromium": "chromium",
    "haproxy": "haproxy",
    "ip": "iproute2",
    "iptables": "iptables",
    "nginx": "nginx-light",
    "node": "nodejs",
    "npm": "npm",
    "prometheus": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "promtool": "prometheus",
}
"""The Debian package of each program that a test starts."""

DEBIAN, ROOT, KERNEL = "needs Debian packages: ", "needs root: ", "needs another kernel: "
CLOSING = {
    DEBIAN: "skipped for want of Debian packages: apt-get install {details}",
    ROOT: "skipped because only root may {details}",
    KERNEL: "skipped because this kernel does not do what is needed: {details}",
}


def need_debian(*programs: str) -> None:
    """Skip the test when a program is missing; name the Debian packages of all that are."""
    __tracebackhide__ = True
    missing = {PACKAGES[program] for program in programs if shutil.which(program) is None}
    if missing:
        _skip(DEBIAN, *sorted(missing))


def need_root(to_do: str) -> None:
    """Skip the test when root does not run it; `to_do` completes "only root may"."""
    __tracebackhide__ = True
    if os.geteuid() != 0:
        _skip(ROOT, to_do)


def need_bpf(*programs: str) -> None:
    """Skip the test where no kernel program can be loaded, or one of the (user) programs is missing."""
    __tracebackhide__ = True
    need_debian("ip", *programs)
    need_root("load kernel programs")
    why = _why_no_bpf()
    if BCC in why:
        _skip(DEBIAN, BCC)
    if why:
        _skip(KERNEL, why)


@lru_cache(maxsize=1)
def _why_no_bpf() -> str:
    missing = [requirement for requirement in check_host() if requirement.needed and not requirement.met]
    return " and ".join(f"{requirement.name}: {requirement.detail}" for requirement in missing).replace(";", ",")


def need_kernel(why_not: str) -> NoReturn:
    """Skip the test: this kernel, or what surrounds it, refused what the test needs."""
    __tracebackhide__ = True
    _skip(KERNEL, why_not)


def _skip(kind: str, *details: str) -> NoReturn:
    __tracebackhide__ = True
    pytest.skip(kind + "; ".join(details))


def closing_lines(reasons: Iterable[str]) -> Iterator[str]:
    """Turn the reasons of all skipped tests into a line for each kind of thing that was missing."""
    texts = [reason.removeprefix("Skipped: ") for reason in reasons]
    for kind, closing in CLOSING.items():
        details = [text.removeprefix(kind).split("; ") for text in texts if text.startswith(kind)]
        if details:
            named = sorted({detail for one in details for detail in one})
            tests = "1 test was" if len(details) == 1 else f"{len(details)} tests were"
            yield f"{tests} {closing.format(details=(' ' if kind == DEBIAN else '; ').join(named))}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in closing lines what to install."""
    skipped = terminalreporter.stats.get("skipped", [])
    for line in closing_lines(report.longrepr[2] for report in skipped):  # path, line number, reason
        terminalreporter.write_line(line, yellow=True)
