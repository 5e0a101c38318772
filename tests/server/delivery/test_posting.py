"""One request, whatever the peer does."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest
from tests.server.delivery.receiver import endpoint

from chronotope.server.delivery.posting import Undelivered, Unwanted, ask, wait_s


def test_success_is_what_the_peer_says() -> None:
    with endpoint() as peer:
        peer.answer = lambda _: (202, {}, b"taken")
        reply = ask("POST", f"{peer.url}/a?b=c", b"{}", {"X-Own": "1"}, 5)
        (request,) = peer.requests
    assert (reply.status, reply.body) == (202, b"taken")
    assert (request.method, request.path, request.headers["X-Own"], request.body) == ("POST", "/a?b=c", "1", b"{}")


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503])
def test_what_may_pass_is_worth_another_try(status: int) -> None:
    with endpoint() as peer:
        peer.answer = lambda _: (status, {"Retry-After": "7"}, b"not now")
        with pytest.raises(Undelivered, match=f"{status}.*not now") as caught:
            ask("POST", peer.url, b"{}", {}, 5)
    assert caught.value.retry_after_s == 7
    assert wait_s(1, caught.value.retry_after_s) >= 7


@pytest.mark.parametrize("status", [301, 307, 400, 401, 404, 413])
def test_what_is_refused_for_good_is_not_tried_again_nor_followed(status: int) -> None:
    """A redirect may lead a secret to somebody else."""
    with endpoint() as other, endpoint() as peer:
        peer.answer = lambda _: (status, {"Location": other.url}, b"no")
        with pytest.raises(Unwanted, match=str(status)):
            ask("POST", peer.url, b"{}", {}, 5)
        assert other.requests == []


def test_nobody_there_is_worth_another_try() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        with pytest.raises(Undelivered, match="refused"):
            ask("POST", f"http://127.0.0.1:{probe.getsockname()[1]}", b"{}", {}, 5)


@contextmanager
def slow(every_s: float, text: bytes) -> Iterator[str]:
    """A peer that takes any request and says its text a byte at a time, or nothing at all."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            try:
                own, _ = listening.accept()
                with own:
                    own.recv(65536)
                    for at in range(len(text)):
                        own.send(text[at : at + 1])
                        time.sleep(every_s)
                    own.recv(65536)
            except OSError:
                return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.parametrize("text", [b"", b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 60_000])
def test_a_peer_that_hangs_or_drips_is_cut_off_in_time(text: bytes) -> None:
    """Each byte of it comes well within a timeout of its own: the limit is for the whole."""
    with slow(0.1, text) as url:
        began = time.monotonic()
        with pytest.raises(Undelivered):
            ask("POST", url, b"{}", {}, 1)
        assert time.monotonic() - began < 60  # of 6,000 s


def test_waits_grow_with_failures_and_differ() -> None:
    waits = [[wait_s(failures) for _ in range(200)] for failures in range(1, 14)]
    assert all(0.5 <= wait <= 1 for wait in waits[0])
    assert all(150 <= wait <= 300 for wait in waits[-1])
    assert all(len(set(own)) > 100 for own in waits)
    assert all(max(first) <= min(second) * 2 + 1e-9 for first, second in pairwise(waits))
