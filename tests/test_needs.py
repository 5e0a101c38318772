"""The closing lines that say what to install, with pytest run as people run it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.needs import PACKAGES, closing_lines

ROOT = Path(__file__).parents[1]
LACKING = """
import pytest
import tests.needs as needs

needs.PACKAGES.update({"no-such-peer": "peer-server", "no-such-tool": "peer-tools"})

@pytest.fixture(scope="module")
def peers():
    needs.need_debian("no-such-peer", "no-such-tool", "sh-that-is-there")

@pytest.fixture(autouse=True, scope="session")
def _there():
    needs.PACKAGES["sh-that-is-there"] = "dash"
    needs.shutil.which = lambda name: None if "no-such" in name else "/bin/sh"

@pytest.mark.parametrize("number", range(3))
def test_with_peers(peers, number): ...

def test_with_one_of_them():
    needs.need_debian("no-such-tool")

def test_as_root(monkeypatch):
    monkeypatch.setattr(needs.os, "geteuid", lambda: 1000)
    needs.need_root("mount file systems")

def test_in_another_kernel():
    needs.need_kernel("no BTF")

def test_for_another_reason():
    pytest.skip("it is Sunday")

def test_here(): ...
"""
SAID = [
    "4 tests were skipped for want of Debian packages: apt-get install peer-server peer-tools",
    "1 test was skipped because only root may mount file systems",
    "1 test was skipped because this kernel does not do what is needed: no BTF",
]


@pytest.mark.parametrize("options", [[], ["-n", "2"]], ids=["in one process", "side by side"])
def test_what_is_missing_is_said_once_at_the_end(tmp_path: Path, options: list[str]) -> None:
    (tmp_path / "conftest.py").write_text(
        "from tests.needs import pytest_terminal_summary as pytest_terminal_summary\n"
    )
    (tmp_path / "test_lacking.py").write_text(LACKING)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), *sys.path])
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--import-mode=importlib", *options, "."]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-4:-1] == SAID, done.stdout
    assert "1 passed, 7 skipped" in done.stdout.splitlines()[-1]


def test_nothing_is_said_when_nothing_is_missing() -> None:
    assert list(closing_lines(["Skipped: it is Sunday"])) == []


def test_every_package_that_tests_name_is_installed_for_ci() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert set(PACKAGES.values()) <= set(script.replace('"', " ").split())
