"""Options and sizes of the benchmarks. `pytest benchmarks --benchmark-only` runs small sizes, in some minutes.

`--sizes=full` runs those of the README's table; `--benchmark-dir` keeps the generated histories between runs.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from benchmarks.history import History, ensure_history

DATA = Path(__file__).parents[2] / "shared" / "data"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("chronotope benchmarks")
    group.addoption("--sizes", choices=["small", "full"], default="small", help="sizes of the benchmarks")
    group.addoption("--benchmark-dir", type=Path, help="keep generated histories here and use them again")


def pytest_xdist_auto_num_workers() -> int:
    """Measure one at a time."""
    return 0


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("python_files", "bench_*.py")
    config.addinivalue_line(
        "markers", "sizes(name, small, full, indirect=False): values of a parameter for each of --sizes"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    full = metafunc.config.getoption("--sizes") == "full"
    for marker in metafunc.definition.iter_markers("sizes"):
        name, small, big = marker.args
        indirect = bool(marker.kwargs.get("indirect"))
        metafunc.parametrize(name, big if full else small, indirect=indirect, scope="module" if indirect else None)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real inputs beside the checkout."""
    if not DATA.is_dir():
        pytest.skip("the shared data folder is not beside the repository")
    return DATA


@pytest.fixture(scope="session")
def history_folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    given = request.config.getoption("--benchmark-dir")
    return Path(given) if given else tmp_path_factory.mktemp("histories")


@pytest.fixture(scope="module")
def history(request: pytest.FixtureRequest, history_folder: Path) -> History:
    """A history on disk, (edges, days); nobody has it open."""
    edges, days = request.param
    return ensure_history(history_folder, edges, days, lambda text: print(text, file=sys.stderr, flush=True))
