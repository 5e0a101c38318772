"""C to instructions of the BPF machine, with the bcc of Debian's `python3-bpfcc`.

Invariant: only the package `bcc` is taken from the system's Python, nothing else of it becomes importable; no header of
any kernel is needed or used (`headers/` holds what bcc's own headers ask for).
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from chronotope.schema.errors import ChronotopeError

PACKAGE = "python3-bpfcc"
_PLACES = ("/usr/lib/python3/dist-packages", "/usr/lib/python3/site-packages")
_HEADERS = "BCC_KERNEL_SOURCE"  # where bcc looks for a kernel's headers


class CannotCompile(ChronotopeError):
    """bcc is absent, too old, or refuses the source."""


class Compiled(NamedTuple):
    """What the compiler made. The file descriptors are the caller's; the maps live as long as one is open."""

    maps: Mapping[str, int]
    programs: Mapping[str, bytes]  # name → instructions, which name the maps by descriptors of the module


@contextmanager
def compiled_flows(flags: list[str], programs: Sequence[str], maps: Sequence[str]) -> Iterator[Compiled]:
    """Compile flows.c and make its maps. The instructions can be loaded within the context.

    Raises:
        CannotCompile: see there.
    """
    bcc = _load_bcc()
    with as_file(files("chronotope.bpf")) as room, _environment(_HEADERS, str(room / "headers")):
        include = ["-Iinclude", "-Iinclude/uapi", f"-I{room}", f"-DPAGE_SIZE={os.sysconf('SC_PAGE_SIZE')}"]
        try:
            module = bcc.BPF(text=(room / "flows.c").read_bytes(), cflags=[*include, *flags])
        except Exception as error:  # bcc raises bare ones; the compiler's words are on standard error
            raise CannotCompile(f"the kernel programs do not compile with bcc {bcc.__version__}: {error}") from error
    library = bcc.libbcc.lib
    try:
        yield Compiled(
            {name: os.dup(library.bpf_table_fd(module.module, name.encode())) for name in maps},
            {name: module.dump_func(name.encode()) for name in programs},
        )
    finally:
        module.cleanup()  # the compiler's memory is much larger than all else that an agent needs


def _load_bcc() -> ModuleType:
    if "bcc" in sys.modules:
        return sys.modules["bcc"]
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
        del sys.modules["bcc"]
        raise CannotCompile(f"the package bcc cannot be loaded: {error}; install {PACKAGE} again") from error
    return module


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    """bcc's library reads the place of headers from the environment only."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
