"""How tests are spread over workers that run side by side: file by file, and what needs the host for itself in one.

Workers share the machine's kernel, and nothing else: programs in the kernel see the traffic of all of them, and a lab
whose traffic is measured wants no second one beside it. One worker runs these files (`HOST`).
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from xdist.scheduler import LoadFileScheduling

# Tests of servers and of real peers mostly wait: two for each processor keep it busy.
WORKERS_PER_PROCESSOR = 2
FEW_FILES = 2
HOST = ("tests/bpf/", "tests/ingest/agent/", "tests/lab/")


class FilesAndHost(LoadFileScheduling):
    """Keep a file's tests in one worker, and all of `HOST`."""

    def _split_scope(self, nodeid: str) -> str:
        return "host" if nodeid.startswith(HOST) else super()._split_scope(nodeid)


def number_of_workers(arguments: list[str]) -> int:
    """Return how many workers serve; 0: the process itself is quicker than starting any, for one file or two."""
    files = {argument.partition("::")[0] for argument in arguments}
    if len(files) <= FEW_FILES and all(Path(file).is_file() for file in files):
        return 0
    return WORKERS_PER_PROCESSOR * len(os.sched_getaffinity(0))


def longest_first(items: list[pytest.Item]) -> None:
    """Let what takes long begin first: otherwise the last worker is alone with it."""

    def rank(item: pytest.Item) -> int:
        if item.nodeid.startswith(HOST):
            return 0
        return 1 if item.path in slow else 2

    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=rank)
