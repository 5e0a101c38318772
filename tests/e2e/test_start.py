"""What keeps a command from starting is said in one line, with the exit code that scripts rely on."""

from __future__ import annotations

import socket
from contextlib import ExitStack

import pytest

from tests.e2e.otlp_requests import CLIENT, request_of, span_of
from tests.e2e.process import ChronotopeProcess, ServerProcess, chronotope

pytestmark = pytest.mark.slow

CLOSED = ("--otlp-http", "none", "--otlp-grpc", "none")
LISTEN = ("--listen", "127.0.0.1:0", *CLOSED)


@pytest.fixture(scope="module")
def dump(tmp_path_factory):
    """A file with one call."""
    path = tmp_path_factory.mktemp("dump") / "one.otlp"
    path.write_bytes(request_of("a", span_of(1, 1, kind=CLIENT, start_s=1.7e9, attributes={"peer.service": "b"})))
    return str(path)


def refused(done, code, *words):
    """Whether a command ended with one clear line."""
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("chronotope: ")
    for word in words:
        assert word in lines[0]
    return True


def test_a_store_that_is_in_use_is_refused_and_stays_as_it_is(tmp_path, dump):
    store = f"chdb://{tmp_path}/store"
    with ServerProcess(store) as server:
        assert refused(chronotope("serve", "--store", store, *LISTEN), 1, store, "open in another process", "--server")
        importing = chronotope("import", dump, "--input", "otlp", "--store", store)
        assert refused(importing, 1, store, "open in another process")
        assert refused(chronotope("graph", "--store", store), 1, store, "open in another process", "--server")
        assert server.get("/readyz") == {"status": "ready"}
        assert server.stop() == 0
    assert chronotope("import", dump, "--input", "otlp", "--store", store).returncode == 0


@pytest.mark.parametrize("command", ["serve", "import"])
def test_a_store_that_cannot_be_made_is_refused(tmp_path, dump, command):
    file = tmp_path / "file"
    file.write_text("what somebody wrote")
    arguments = LISTEN if command == "serve" else (dump, "--input", "otlp")
    for path in (str(file), f"{file}/below", "/proc/chronotope"):
        assert refused(chronotope(command, "--store", f"chdb://{path}", *arguments), 1, path, "cannot make the folder")
    assert file.read_text() == "what somebody wrote"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("serve",), "Missing option '--store'"),
        (("serve", "--store", "nowhere"), "'nowhere' is not a store address"),
        (("serve", "--store", "chdb://memory", "--listen", "here:70000"), "--listen 'here:70000'"),
        (("serve", "--store", "chdb://memory", "--listen", "none"), "--listen cannot be none"),
        (("serve", "--store", "chdb://memory", "--config", "/no/such.yaml"), "/no/such.yaml"),
        (("import", "--input", "otlp", "--store", "chdb://memory"), "Missing argument 'PATH…'"),
        (("import", "x", "--input", "runes", "--store", "chdb://memory"), "'runes' is not one of"),
        (("serves",), "No such command 'serves'"),
    ],
    ids=["no-store", "bad-store", "bad-address", "no-address", "no-config", "no-path", "bad-format", "no-command"],
)
def test_wrong_usage_ends_with_code_2(arguments, said):
    done = chronotope(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def taken():
    """An address where somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.parametrize("option", ["--listen", "--otlp-http", "--otlp-grpc"])
def test_a_taken_port_that_was_asked_for_is_an_error(taken, option):
    options = dict(zip(LISTEN[::2], LISTEN[1::2], strict=True)) | {option: taken}
    arguments = [part for pair in options.items() for part in pair]
    done = chronotope("serve", "--store", "chdb://memory", *arguments)
    assert refused(done, 1, f"{option} {taken} is in use", "choose another")


def test_a_taken_default_port_is_a_warning_and_the_server_goes_on():
    """Whoever has these ports on this machine, or else this test."""
    with ExitStack() as sockets:
        for port in (4317, 4318):
            try:
                sockets.enter_context(socket.create_server(("127.0.0.1", port)))
            except OSError:
                continue
        process = sockets.enter_context(
            ChronotopeProcess("serve", "--store", "chdb://memory", "--listen", "127.0.0.1:0")
        )
        process.url = process.wait_for(r"answers on (http://[^/\s]+)/")
        assert process.get("/healthz") == {"status": "ok"}
        for option, port in (("--otlp-http", 4318), ("--otlp-grpc", 4317)):
            assert f"WARNING chronotope.server.running.listening {option}: 127.0.0.1:{port} is in use" in process.log
        assert "OTLP/" not in process.log
        assert process.stop() == 0


def test_an_address_of_another_machine_is_an_error():
    done = chronotope("serve", "--store", "chdb://memory", "--listen", "203.0.113.5:8428", *CLOSED)
    assert refused(done, 1, "--listen 203.0.113.5:8428 cannot be opened (Cannot assign requested address)")


def test_a_second_ctrl_c_while_stopping_does_no_harm(tmp_path):
    with ServerProcess(f"chdb://{tmp_path}/store") as server:
        server.process.send_signal(2)
        assert server.stop() == 0
        assert "Traceback" not in server.log
