"""The example rules for a Prometheus are what they say, by Prometheus' own tool."""

from __future__ import annotations

import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

from tests.needs import need_debian


def test_the_example_rules_fire_when_they_should(tmp_path: Path) -> None:
    need_debian("promtool")
    example = files("chronotope.server.rules") / "examples" / "prometheus-rules.yml"
    (tmp_path / "prometheus-rules.yml").write_bytes(example.read_bytes())
    shutil.copy(Path(__file__).parent / "prometheus-rules.test.yml", tmp_path)
    command = ["promtool", "test", "rules", "prometheus-rules.test.yml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
