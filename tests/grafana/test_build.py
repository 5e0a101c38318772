"""A person who follows the documentation in a fresh clone gets the page and both plugins.

The commands are read from the documentation, below `<!-- run: grafana -->`, and run in a copy that has no node_modules.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "README.md"
BLOCK = re.compile(r"<!-- run: grafana -->\n(?:<!--.*-->\n)?```\w*\n(.*?)```", re.DOTALL)
PAGE = ROOT / "server" / "page"
COPIED = ("grafana-plugin", "CHANGELOG.md", "LICENSE")  # the plugins link to the last two


def documented_commands() -> str:
    (commands,) = BLOCK.findall(DOCUMENT.read_text())
    return str(commands)


def skip_unless_possible() -> None:
    missing = [name for name in ("node", "npm", "git") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}; apt-get install nodejs npm git")
    if not (ROOT / ".git").exists():
        pytest.skip("not a clone: what a clone would have is asked of git")


def copy_tracked_files(target: Path) -> None:
    """What a clone would have, as it is now; links stay links."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", *COPIED], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        if os.path.lexists(ROOT / name):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name, follow_symlinks=False)


@pytest.mark.slow
def test_the_documented_commands_build_the_page_and_the_plugins_in_a_fresh_clone(tmp_path: Path) -> None:
    """The page comes out as it is committed; each plugin has its code and says what it is."""
    skip_unless_possible()
    copy_tracked_files(tmp_path)
    page = tmp_path / "server" / "page"
    page.mkdir(parents=True)  # empty, so that what is in it afterwards was built
    command = ["bash", "-euo", "pipefail", "-c", documented_commands()]
    env = {**os.environ, "npm_config_prefer_offline": "true"}
    run = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=900)
    assert run.returncode == 0, run.stdout[-5000:] + run.stderr[-5000:]
    wanted = {path.name: path.read_bytes() for path in PAGE.iterdir()}
    assert {"index.html", "page.css", "page.js"} <= set(wanted)
    assert {path.name: path.read_bytes() for path in page.iterdir()} == wanted, "npm run build, and commit server/page"
    for plugin in ("datasource", "panel"):
        built = tmp_path / "grafana-plugin" / "plugins" / plugin / "dist"
        assert (built / "module.js").stat().st_size > 10_000
        assert json.loads((built / "plugin.json").read_text())["id"] == f"chronotope-topology-{plugin}"
        assert (built / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_there_is_one_lock_and_it_names_no_registry() -> None:
    """Packages come from the registry of whoever installs; only the workspace's own folders have an address."""
    workspace = ROOT / "grafana-plugin"
    lock = workspace / "package-lock.json"
    assert [*workspace.glob("package-lock.json"), *workspace.glob("*/package-lock.json")] == [lock]
    packages = json.loads(lock.read_text())["packages"]
    addressed = {entry["resolved"] for entry in packages.values() if "resolved" in entry}
    assert addressed == set(packages[""]["workspaces"])
