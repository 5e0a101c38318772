"""The compiler's process: what it refuses comes as one error; what it makes loads our maps."""

from __future__ import annotations

import struct

import pytest

from chronotope.bpf import compiling
from chronotope.bpf.compiling import CannotCompile, compile_flows, relocate

pytestmark = pytest.mark.slow


def instruction(code, registers, value):
    return struct.pack("<BBhi", code, registers, 0, value)


def test_only_loads_of_maps_are_changed():
    load_map, load_number = instruction(0x18, 0x11, 5), instruction(0x18, 0x01, 5)
    rest = instruction(0, 0, 0)
    code = load_map + rest + load_number + rest + instruction(0xB7, 0, 5)
    assert relocate(code, {5: 77}) == instruction(0x18, 0x11, 77) + rest + load_number + rest + instruction(0xB7, 0, 5)


def test_a_source_that_does_not_compile_says_why(network):
    with pytest.raises(CannotCompile, match="error:"):
        compile_flows(["-DMAX_CONNECTIONS=64", "-DFIELD_NET=nothing"], ["on_state"], ["closed"])


def test_without_bcc_the_package_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(compiling, "_PLACES", (str(tmp_path),))
    with pytest.raises(CannotCompile, match="apt install python3-bpfcc"):
        compiling._load_bcc()


def test_a_broken_bcc_is_named(monkeypatch, tmp_path):
    (tmp_path / "bcc").mkdir()
    (tmp_path / "bcc" / "__init__.py").write_text("import nothing_of_that_name")
    monkeypatch.setattr(compiling, "_PLACES", (str(tmp_path),))
    monkeypatch.setitem(compiling.sys.modules, "bcc", None)
    with pytest.raises(CannotCompile, match="nothing_of_that_name"):
        compiling._load_bcc()
