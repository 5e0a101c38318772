"""Compile what a fresh clone has not compiled yet, once, before workers that run side by side do so at the same time.

Numba keeps the result beside the modules. One process compiles for 45 seconds of spans and events, another of flows.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.e2e.process import COMMAND, ChronotopeProcess

ROOT = Path(__file__).parent.parent
NOWHERE = ("--listen", "127.0.0.1:0", "--otlp-http", "none", "--otlp-grpc", "none")
FLOW = {"start": 1_700_000_000, "client_address": "10.0.0.1", "server_address": "10.0.0.2", "server_port": 80}
TIMEOUT_S = 600


def is_compiled() -> bool:
    """Whether anything was: Numba keeps an index file for each function."""
    return any(next((ROOT / room).rglob("*.nbi"), None) for room in ("ingest", "server"))


def compile_all() -> None:
    """Run a demonstration (spans, events) and, meanwhile, an import of flows."""
    with tempfile.TemporaryDirectory() as folder:
        flows = Path(folder) / "flows.ndjson"
        ends = [{**FLOW, "observer": end, "client_port": 40000, "connections": 1} for end in ("client", "server")]
        flows.write_text("\n".join(map(json.dumps, ends)))
        importing = [*COMMAND, "import", str(flows), "--input", "flows", "--store", f"chdb://{folder}/store"]
        with (
            subprocess.Popen(importing, stdout=subprocess.DEVNULL, stderr=sys.stderr) as flows_import,
            ChronotopeProcess("demo", "--history", "30m", *NOWHERE) as demo,
        ):
            demo.wait_for(r"chronotope is at (http://[^/\s]+)/", TIMEOUT_S)
            flows_import.wait(TIMEOUT_S)
