"""Fixtures that many tests share: a real store, the shared data, golden files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chronotope.schema.migrate import migrate
from chronotope.schema.store import Store

ROOT = Path(__file__).resolve().parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--update-golden`: rewrite the golden files with what the code gives now."""
    parser.addoption("--update-golden", action="store_true", help="rewrite tests/golden instead of comparing")


@pytest.fixture(scope="session")
def update_golden(request: pytest.FixtureRequest) -> bool:
    """Whether golden files are to be rewritten."""
    return bool(request.config.getoption("--update-golden"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real inputs beside the checkout."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there: real inputs are kept beside the checkout")
    return folder


@pytest.fixture
def store() -> Iterator[Store]:
    """An empty migrated store in the embedded engine's memory."""
    with Store.open("chdb://memory") as opened:
        migrate(opened)
        yield opened
