"""Batches wait in order, within a limit, through restarts and full disks."""

from __future__ import annotations

import subprocess
import uuid

import pytest

from chronotope.ingest.agent.spool import Spool, SpoolUnusable
from tests.needs import need_kernel, need_root


def drain(spool):
    bodies = []
    while batch := spool.oldest():
        bodies.append((batch.route, batch.read()))
        spool.done(batch)
    return bodies


@pytest.mark.parametrize("on_disk", [True, False])
def test_batches_leave_in_order(tmp_path, on_disk):
    spool = Spool(tmp_path if on_disk else None, 1000)
    for body in (b"one", b"two", b"three"):
        spool.put("flows", body)
    assert (len(spool), spool.bytes) == (3, 11)
    assert drain(spool) == [("flows", b"one"), ("flows", b"two"), ("flows", b"three")]
    assert spool.bytes == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("on_disk", [True, False])
def test_beyond_the_limit_the_oldest_goes_and_is_counted(tmp_path, on_disk):
    spool = Spool(tmp_path if on_disk else None, 100)
    for number in range(10):
        spool.put("flows", bytes([number]) * 30)
    assert (spool.dropped_batches, spool.dropped_bytes, spool.bytes) == (7, 210, 90)
    assert [body[0] for _, body in drain(spool)] == [7, 8, 9]


def test_a_batch_outlives_the_process_with_its_key(tmp_path):
    first = Spool(tmp_path, 1000)
    first.put("identities", b"who")
    first.put("flows", b"what")
    key = first.oldest().key
    (tmp_path / "half.part").write_bytes(b"not whole")
    again = Spool(tmp_path, 1000)
    assert again.oldest().key == key
    assert again.bytes == 7
    assert drain(again) == [("identities", b"who"), ("flows", b"what")]
    assert list(tmp_path.iterdir()) == []


def test_a_batch_being_sent_that_fell_out_is_not_forgotten_twice(tmp_path):
    spool = Spool(tmp_path, 10)
    spool.put("flows", b"a" * 8)
    sending = spool.oldest()
    spool.put("flows", b"b" * 8)
    spool.done(sending)
    assert [body for _, body in drain(spool)] == [b"b" * 8]


def test_a_full_disk_keeps_batches_in_memory(tmp_path):
    need_root("mount a small file system")
    name = f"ct-{uuid.uuid4().hex[:6]}"
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", name, tmp_path], check=False).returncode:
        need_kernel("file systems cannot be mounted")
    try:
        spool = Spool(tmp_path, 10_000_000)
        for number in range(5):
            spool.put("flows", bytes([number]) * 30_000)
        assert spool.write_errors > 0
        assert spool.dropped_batches == 0
        assert [body[0] for _, body in drain(spool)] == [0, 1, 2, 3, 4]
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_a_directory_that_is_none_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(SpoolUnusable, match="--spool"):
        Spool(tmp_path / "file", 100)
