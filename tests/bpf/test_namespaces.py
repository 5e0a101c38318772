"""Which namespaces there are, asked again and again: a made-up /proc, whose files stand for namespaces."""

from __future__ import annotations

import os

import pytest

from chronotope.bpf.namespaces import Namespaces, find_namespaces, own_namespace

pytestmark = pytest.mark.slow


def live(proc, pid):
    """A process in a namespace of its own; return the namespace."""
    place = proc / str(pid) / "ns"
    place.mkdir(parents=True, exist_ok=True)
    new = place / "new"
    new.touch()
    inode = new.stat().st_ino
    new.rename(place / "net")
    return inode


def test_processes_come_go_and_move(tmp_path):
    now_s = [0.0]
    namespaces = Namespaces(tmp_path, clock=lambda: now_s[0])
    stays, goes = live(tmp_path, 10), live(tmp_path, 11)
    assert {stays, goes} <= namespaces.find().keys()
    comes = live(tmp_path, 12)
    assert namespaces.find()[comes] == f"{tmp_path}/12/ns/net", "a new process is seen at once"
    (tmp_path / "11" / "ns" / "net").rename(tmp_path / "kept")
    os.rename(tmp_path / "11", tmp_path / "ended")
    assert goes not in namespaces.find(), "an ended one is not"
    moved = live(tmp_path, 10)
    now_s[0] = 10.0
    found = namespaces.find()
    assert (moved in found, stays in found) == (True, False)


def test_our_own_is_among_those_of_the_host():
    assert own_namespace() in find_namespaces()
