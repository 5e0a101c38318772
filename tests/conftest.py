"""Fixtures that many tests share: real stores over both transports, the shared data, golden files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import pytest
from hypothesis import settings
from xdist.remote import Producer

from chronotope.schema.storage.store import Store
from tests.compiling import compile_all, is_compiled
from tests.distribution import FilesAndHost, longest_first, number_of_workers
from tests.needs import pytest_terminal_summary as pytest_terminal_summary
from tests.stores import EMBEDDED, KeptStore

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests"
BORROWING = {"store", "any_store"}

# Where Python is told not to keep what it compiled, each of the many processes of a run would compile all of it again.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# On a busy machine any example is slow now and then. CI takes the same examples each time; others come up elsewhere.
settings.register_profile("patient", settings.get_profile("ci" if "CI" in os.environ else "default"), deadline=None)
settings.load_profile("patient")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--update-golden`: rewrite the golden files with what the code gives now."""
    parser.addoption("--update-golden", action="store_true", help="rewrite tests/golden instead of comparing")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Use more workers than processors, unless the environment says how many."""
    return None if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ else number_of_workers(config.args)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FilesAndHost:
    """Give each worker whole files, and one of them what needs the host for itself."""
    return FilesAndHost(config, log)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Compile before workers start."""
    if session.config.option.numprocesses and not session.config.option.collectonly and not is_compiled():
        session.config.get_terminal_writer().line("compiling, this first time only ...")
        compile_all()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long."""
    longest_first(items)


@pytest.fixture(scope="session")
def update_golden(request: pytest.FixtureRequest) -> bool:
    """Whether golden files are to be rewritten."""
    return bool(request.config.getoption("--update-golden"))


@pytest.fixture
def golden(update_golden: bool) -> Callable[[str, str], None]:
    """Compare a text with `tests/golden/<name>`, or write it there with `--update-golden`."""

    def check(name: str, text: str) -> None:
        path = TESTS / "golden" / name
        if update_golden:
            path.write_text(text, encoding="utf-8")
        assert text == path.read_text(encoding="utf-8"), f"{path.name} differs; see --update-golden"

    return check


class ClickHouseHttp(NamedTuple):
    """The embedded engine behind ClickHouse's HTTP protocol (tests/clickhouse_http.py); its only user."""

    port: int
    user: str = "tester"
    password: str = "se:cr/et@"

    def url(self, database: str = "default", *, password: str | None = None, options: str = "") -> str:
        """Return a store address on it."""
        secret = quote(self.password if password is None else password, safe="")
        return f"clickhouse://{self.user}:{secret}@127.0.0.1:{self.port}/{database}{options}"


@pytest.fixture(scope="session")
def clickhouse_http() -> Iterator[ClickHouseHttp]:
    """A process that speaks ClickHouse's HTTP protocol."""
    folder = tempfile.mkdtemp(prefix="chronotope-http-")
    command = [sys.executable, str(TESTS / "clickhouse_http.py"), folder]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield ClickHouseHttp(int(process.stdout.readline()))
        finally:
            process.kill()  # nobody needs its databases any more, and closing them takes long
            process.wait()
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real inputs beside the checkout."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there: real inputs are kept beside the checkout")
    return folder


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """End the engine that tests share before one that opens a store of its own: a process has one engine."""
    if isinstance(item, pytest.Function) and BORROWING.isdisjoint(item.fixturenames):
        EMBEDDED.end()


@pytest.fixture
def store() -> Iterator[Store]:
    """An empty migrated store in the embedded engine's memory."""
    with EMBEDDED.lend() as lent:
        yield lent


@pytest.fixture
def clickhouse_url(clickhouse_http: ClickHouseHttp) -> Iterator[str]:
    """Address of a database of its own behind HTTP."""
    database = f"test_{uuid.uuid4().hex}"
    yield clickhouse_http.url(database)
    with Store.open(clickhouse_http.url()) as opened:
        opened.command(f"DROP DATABASE IF EXISTS {database}")


@pytest.fixture(params=["chdb", "clickhouse"])
def any_store_url(request: pytest.FixtureRequest) -> str:
    """Address of an empty store: embedded, then behind HTTP."""
    if request.param == "chdb":
        return "chdb://memory"
    url: str = request.getfixturevalue("clickhouse_url")
    return url


@pytest.fixture(scope="session")
def served_store(clickhouse_http: ClickHouseHttp) -> KeptStore:
    """A migrated store behind HTTP that many tests borrow."""
    return KeptStore(clickhouse_http.url("borrowed"))


@pytest.fixture(params=["chdb", "clickhouse"])
def any_store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """An empty migrated store, over each transport in turn."""
    kept: KeptStore = EMBEDDED if request.param == "chdb" else request.getfixturevalue("served_store")
    with kept.lend() as lent:
        yield lent
