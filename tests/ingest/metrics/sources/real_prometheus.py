"""A real Prometheus on loopback, with a history that promtool made of an OpenMetrics file."""

from __future__ import annotations

import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.needs import need_debian


@contextmanager
def prometheus_with(
    openmetrics: str, folder: Path, *options: str, configuration: str = "global: {}\n"
) -> Iterator[str]:
    """Serve the samples of an OpenMetrics text, and yield the server's address."""
    need_debian("prometheus", "promtool")
    text, blocks, config = folder / "history.om", folder / "tsdb", folder / "prometheus.yml"
    text.write_text(openmetrics, encoding="utf-8")
    config.write_text(configuration, encoding="utf-8")
    make = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(text), str(blocks)]
    made = subprocess.run(make, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    command = [
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={blocks}",
        "--storage.tsdb.retention.time=100y",
        f"--web.listen-address={address}",
        "--log.level=error",
        *options,
    ]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            _wait_until_ready(f"http://{address}", process, folder / "log")
            yield f"http://{address}"
        finally:
            process.terminate()
            process.wait(20)


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(200):
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"{url}/-/ready", timeout=2) as response:
                if response.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise AssertionError(f"prometheus is not ready: {log.read_text()}")
