"""The README is true: its commands run, and it names every command, route, metric and configuration key."""

from __future__ import annotations

import gzip
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from chronotope.schema.config_reference import config_reference
from chronotope.server.cli.main import COMMANDS

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
BEGIN, END = "<!-- configuration reference: made by chronotope.schema.config_reference -->\n", "<!-- /configuration"


def test_the_configuration_reference_is_the_codes(request):
    text = README.read_text()
    head, rest = text.split(BEGIN)
    _, tail = rest.split(END)
    wanted = head + BEGIN + "\n" + config_reference().strip().replace("### ", "#### ") + "\n\n" + END + tail
    if request.config.getoption("--update-golden"):
        README.write_text(wanted)
    assert README.read_text() == wanted, "rewrite it with --update-golden"


def test_every_command_is_named():
    text = README.read_text()
    assert [name for name in COMMANDS if f"`{name}`" not in text and f"chronotope {name}" not in text] == []


def test_every_metric_is_named():
    sources = [path.read_text() for room in ("ingest", "server") for path in (ROOT / room).rglob("*.py")]
    names = set(re.findall(r'"(chronotope_[a-z_]+)"', "\n".join(sources)))
    assert names
    assert [name for name in names if name not in README.read_text()] == []


def commands_to_run():
    block = re.search(r"<!-- run -->\n```console\n(.*?)```", README.read_text(), re.DOTALL)
    return [line.removeprefix("$ ") for line in block[1].splitlines()]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory, shared_data):
    folder = tmp_path_factory.mktemp("readme")
    (source,) = (shared_data / "deathstarbench_jaeger").glob("*.json.gz")
    (folder / "traces.json").write_bytes(gzip.decompress(source.read_bytes()))
    return folder


@pytest.mark.slow
def test_the_commands_of_the_readme_run(workplace):
    said = []
    for command in commands_to_run():
        words = shlex.split(command.replace("/tmp/topology", f"{workplace}/topology"))
        run = [sys.executable, "-m", "chronotope.server.cli", *words[1:]]
        done = subprocess.run(run, cwd=workplace, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        said.append(done.stdout)
    assert "nginx-web-server" in said[1]
    assert '"p99"' in said[2]
    assert "flowchart" in said[3]


@pytest.mark.slow
def test_the_python_of_the_readme_runs(workplace):
    """On the store that the README's commands made."""
    (block,) = re.findall(r"<!-- doctest -->\n```pycon\n(.*?)```", README.read_text(), re.DOTALL)
    store = f"{workplace}/topology"
    if not Path(store).exists():
        run = [sys.executable, "-m", "chronotope.server.cli", "import", "traces.json", "--input", "jaeger"]
        subprocess.run([*run, "--store", f"chdb://{store}"], cwd=workplace, check=True, timeout=120)
    script = workplace / "readme.txt"
    script.write_text(block.replace("/tmp/topology", store))
    # A process of its own: the embedded engine serves one store in each.
    done = subprocess.run(
        [sys.executable, "-m", "doctest", "-v", str(script)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout
    assert "0 failed" in done.stdout or "passed" in done.stdout
