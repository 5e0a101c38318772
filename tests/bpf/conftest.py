from __future__ import annotations

import pytest

from chronotope.bpf.program import FlowProgram, Limits
from chronotope.bpf.requirements import cgroup_root
from tests.bpf.network import Network
from tests.needs import need_bpf


@pytest.fixture(scope="session")
def _kernel():
    need_bpf()


@pytest.fixture
def network(_kernel):
    with Network() as made:
        yield made


@pytest.fixture(scope="session")
def program(_kernel):
    made = FlowProgram(Limits(connections=4096, detailed=512, pairs=1024, datagrams=1024), cgroup=cgroup_root())
    yield made
    made.close()
