from __future__ import annotations

import os
import shutil
from functools import lru_cache

import pytest

from chronotope.bpf.program import FlowProgram, Limits
from chronotope.bpf.requirements import cgroup_root, check_host
from tests.bpf.network import Network


@lru_cache(maxsize=1)
def why_not() -> str:
    """Why kernel programs can't be tried here; empty: they can."""
    if os.geteuid() != 0:
        return "only root may load kernel programs"
    if not shutil.which("ip"):
        return "iproute2 is not installed"
    missing = [requirement for requirement in check_host() if requirement.needed and not requirement.met]
    return "; ".join(f"{requirement.name}: {requirement.detail}" for requirement in missing)


@pytest.fixture(scope="session")
def _kernel():
    reason = why_not()
    if reason:
        pytest.skip(reason)


@pytest.fixture
def network(_kernel):
    with Network() as made:
        yield made


@pytest.fixture(scope="session")
def program(_kernel):
    made = FlowProgram(Limits(connections=4096, detailed=512, pairs=1024, datagrams=1024), cgroup=cgroup_root())
    yield made
    made.close()
