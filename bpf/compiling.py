"""Compile C to BPF instructions, with the bcc of Debian's package `python3-bpfcc`.

Invariant: only the package `bcc` is imported from the system's Python, nothing else of it. No kernel headers are needed
or used: `headers/` holds what bcc's own headers ask for.

The compiler runs in a process of its own, which is this module's `main`. It needs twice the memory of the rest of an
agent, and its messages must become errors and not text on a terminal. The maps that it makes come over a socket.
"""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.resources import as_file, files
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np

from chronotope.schema.errors import ChronotopeError

PACKAGE = "python3-bpfcc"
_PLACES = ("/usr/lib/python3/dist-packages", "/usr/lib/python3/site-packages")
_HEADERS = "BCC_KERNEL_SOURCE"  # the environment variable that tells bcc where a kernel's headers are
_INSTRUCTION = np.dtype([("code", "u1"), ("registers", "u1"), ("offset", "<i2"), ("value", "<i4")])
_LOAD_WORD, _MAP = 0x18, 1  # BPF_LD | BPF_IMM | BPF_DW, and BPF_PSEUDO_MAP_FD as the source register
_TIMEOUT_S = 120
_SOURCES = ("shared.c", "places.c", "accepting.c", "connections.c", "sockets.c", "datagrams.c")  # in this order


class CannotCompile(ChronotopeError):
    """bcc is absent, too old, or refuses the source."""


class Compiled(NamedTuple):
    """The compiler's output. The caller owns the file descriptors; a map lives as long as its own or a program's."""

    maps: Mapping[str, int]
    programs: Mapping[str, bytes]  # name → instructions


def compile_flows(flags: Sequence[str], programs: Sequence[str], maps: Sequence[str]) -> Compiled:
    """Compile the programs and make their maps.

    Args:
        flags: for the compiler.
        programs: names of functions; one more in the source is of no harm.
        maps: names of all maps that they use.

    Raises:
        CannotCompile: see there.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours, as_file(files("chronotope.bpf")) as room:
        request = {"room": str(room), "flags": flags, "programs": programs, "maps": maps, "socket": theirs.fileno()}
        with theirs:
            run = subprocess.run(
                [sys.executable, "-m", "chronotope.bpf.compiling"],
                input=json.dumps(request).encode(),
                env={**os.environ, _HEADERS: str(room / "headers")},
                pass_fds=[theirs.fileno()],
                capture_output=True,
                timeout=_TIMEOUT_S,
                check=False,
            )
        if run.returncode:
            raise CannotCompile(_reason(run.stderr.decode(errors="replace")))
        answer = json.loads(run.stdout.splitlines()[-1])
        _, descriptors, _, _ = socket.recv_fds(ours, 1, len(maps))
    places = dict(zip(answer["maps"], descriptors, strict=True))
    return Compiled(
        dict(zip(maps, descriptors, strict=True)),
        {name: relocate(bytes.fromhex(code), places) for name, code in answer["programs"].items()},
    )


def relocate(instructions: bytes, places: Mapping[int, int]) -> bytes:
    """Return instructions that load maps by our file descriptors instead of the compiler's."""
    code = np.frombuffer(instructions, _INSTRUCTION).copy()
    for row in np.flatnonzero((code["code"] == _LOAD_WORD) & (code["registers"] >> 4 == _MAP)).tolist():
        code["value"][row] = places[int(code["value"][row])]
    return code.tobytes()


def _reason(said: str) -> str:
    """Return the message of the compiler's process, in one line."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    found = next((line for line in lines if "error:" in line), lines[-1] if lines else "the compiler died")
    return found.removeprefix("refused: ")


def main() -> None:
    """Compile what standard input asks for, send the maps over the socket that it names, and print the programs."""
    request = json.load(sys.stdin)
    try:
        bcc = _load_bcc()
    except CannotCompile as error:
        sys.exit(f"refused: {error}")
    include = ["-Iinclude", "-Iinclude/uapi", f"-I{request['room']}", f"-DPAGE_SIZE={os.sysconf('SC_PAGE_SIZE')}"]
    module = bcc.BPF(text=_source(Path(request["room"])), cflags=[*include, *request["flags"]])
    maps = [bcc.libbcc.lib.bpf_table_fd(module.module, name.encode()) for name in request["maps"]]
    programs = {name: module.dump_func(name.encode()).hex() for name in request["programs"]}
    with socket.socket(fileno=request["socket"]) as theirs:
        socket.send_fds(theirs, [b"m"], maps)
    print(json.dumps({"maps": maps, "programs": programs}))


def _source(room: Path) -> bytes:
    """All programs as the one text that bcc wants, where an error still names file and line."""
    pieces = [f'#line 1 "{name}"\n'.encode() + (room / "programs" / name).read_bytes() for name in _SOURCES]
    return b"".join(pieces)


def _load_bcc() -> ModuleType:
    for place in _PLACES:
        path = Path(place) / "bcc" / "__init__.py"
        if path.is_file():
            return _load(path)
    raise CannotCompile(f"the package bcc is not installed; on Debian and Ubuntu: apt install {PACKAGE}")


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("bcc", path, submodule_search_locations=[str(path.parent)])
    if spec is None or spec.loader is None:
        raise CannotCompile(f"{path} is no Python package; install {PACKAGE} again")
    module = importlib.util.module_from_spec(spec)
    sys.modules["bcc"] = module
    try:
        spec.loader.exec_module(module)
    except (ImportError, OSError, SyntaxError) as error:
        raise CannotCompile(f"the package bcc cannot be loaded: {error}; install {PACKAGE} again") from error
    return module


if __name__ == "__main__":
    main()
