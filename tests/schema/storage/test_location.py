"""Store addresses: what is accepted, and a clear error for everything that cannot be opened."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import ClickHouseHttp

from chronotope.schema.errors import InvalidStoreUrl, StoreError, StoreInUse
from chronotope.schema.storage.location import parse_store_url, shown_url
from chronotope.schema.storage.store import Store

HOLD = """
import sys
from chronotope.schema.storage.store import Store
with Store.open(sys.argv[1]) as store:
    store.command("CREATE TABLE held (x UInt8) ENGINE = MergeTree ORDER BY x")
    print("open", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("chdb://memory", ":memory:"),
        ("chdb:///:memory:", ":memory:"),
        ("chdb:///var/lib/store", "/var/lib/store"),
        ("chdb:///var/lib/store/", "/var/lib/store"),
        ("chdb:///a%20b/%C3%BC", "/a b/ü"),
    ],
)
def test_embedded_addresses_name_an_absolute_path_or_memory(url: str, path: str) -> None:
    location = parse_store_url(url)
    assert (location.path, location.embedded) == (path, True)


def test_server_address_has_defaults_for_all_but_the_host() -> None:
    location = parse_store_url("clickhouse://db.example")
    assert (location.host, location.port, location.user, location.password) == ("db.example", 8123, "default", "")
    assert (location.database, location.secure, location.cluster, location.embedded) == ("default", False, "", False)


def test_server_address_gives_all_its_parts_decoded() -> None:
    url = "clickhouse://me:p%40s%3As@[::1]:9000/top%20o?secure=true&cluster=c&verify=false&connect_timeout=3"
    location = parse_store_url(url)
    assert (location.host, location.port, location.user, location.password) == ("::1", 9000, "me", "p@s:s")
    assert (location.database, location.secure, location.cluster) == ("top o", True, "c")
    assert location.options == (("connect_timeout", "3"), ("verify", "false"))


@pytest.mark.parametrize("url", ["clickhouses://h", "clickhouse://h?secure=1", "clickhouse://h?secure=Yes"])
def test_secure_addresses_use_the_secure_port(url: str) -> None:
    location = parse_store_url(url)
    assert (location.secure, location.port) == (True, 8443)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "use chdb:///path"),
        ("/var/lib/store", "use chdb:///path"),
        ("postgres://h/d", "use chdb:///path"),
        ("clickhouse:///database", "use chdb:///path"),
        ("clickhouse://h:99999", "Port out of range"),
        ("clickhouse://h:port", "use chdb:///path"),
        ("clickhouse://[::1", "use chdb:///path"),
        ("clickhouse://h?sceure=1", "'sceure' is not known; accepted: ca_cert, cluster"),
        ("clickhouse://h?connect_timeout=soon", "connect_timeout is 'soon'; write whole seconds"),
        ("clickhouse://h?send_receive_timeout=0", "write whole seconds, at least 1"),
        ("chdb://relative/path", "three slashes"),
        ("chdb://", "three slashes"),
        ("chdb:///", "three slashes"),
        ("chdb:///store?cluster=c", "takes none"),
        ("chdb:///store%3Freadonly=1", "cannot hold `?`"),
        ("chdb:///sto%00re", "cannot hold `?` or NUL"),
    ],
)
def test_other_addresses_are_refused_with_the_remedy(url: str, said: str) -> None:
    with pytest.raises(InvalidStoreUrl) as raised:
        parse_store_url(url)
    assert said in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "clickhouse://me:secret@h/d",
        "clickhouse://me:secret%40%3A@h/d",
        "clickhouse://me:secret@secret@h",
        "clickhouse://:secret@h",
        "clickhous://me:secret@h",
    ],
)
def test_no_password_is_ever_shown(url: str) -> None:
    """A percent-encoded one least of all: it does not look like the decoded password."""
    assert "secret" not in shown_url(url)
    assert ":***@h" in shown_url(url)


@pytest.mark.parametrize("url", ["clickhous://me:secret@h", "clickhouse://me:secret@h:99999", "x://me:secret@[h"])
def test_errors_about_an_address_show_no_password(url: str) -> None:
    with pytest.raises(InvalidStoreUrl) as raised:
        parse_store_url(url)
    assert "secret" not in str(raised.value)


def test_store_open_in_another_process_is_said_with_the_remedy(tmp_path: Path) -> None:
    url = f"chdb://{tmp_path / 'store'}"
    command = [sys.executable, "-c", HOLD, url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with pytest.raises(StoreInUse, match=r"is open in another process .* --server URL, or stop it first"):
            Store.open(url)
        other.communicate()
    with Store.open(url) as store:
        assert store.rows("SELECT count() FROM held") == [(0,)]


def test_path_of_a_regular_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    for path in (file, file / "below"):
        with pytest.raises(StoreError, match="cannot make the folder"):
            Store.open(f"chdb://{path}")
    assert file.read_text() == "mine"


def test_path_that_cannot_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Permission bits do not bind root, as whom tests may run: the system's answer is what is replaced."""
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(StoreError, match="is not writable by this user"):
        Store.open(f"chdb://{tmp_path}")


def test_path_whose_folder_cannot_be_made_is_refused() -> None:
    with pytest.raises(StoreError, match="cannot make the folder"):
        Store.open("chdb:///proc/no/such/store")


def test_wrong_port_is_an_error_that_names_the_store() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(StoreError) as raised:
        Store.open(f"clickhouse://me:secret@127.0.0.1:{port}/d")
    assert str(raised.value).startswith(f"store clickhouse://me:***@127.0.0.1:{port}/d: ")
    assert "refused" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_wrong_host_is_an_error_not_a_stack() -> None:
    with pytest.raises(StoreError, match=r"store clickhouse://no-such-host\.invalid:1/d"):
        Store.open("clickhouse://no-such-host.invalid:1/d?connect_timeout=1")


def test_wrong_password_is_said_and_not_shown(clickhouse_http: ClickHouseHttp) -> None:
    with pytest.raises(StoreError, match="Authentication failed: password is incorrect") as raised:
        Store.open(clickhouse_http.url(password="wrong one"))
    assert "wrong" not in str(raised.value)
    assert "for url" not in str(raised.value)


def test_missing_database_of_a_server_is_made(clickhouse_url: str) -> None:
    with Store.open(clickhouse_url) as store:
        name = store.location.database
        assert store.rows("SELECT currentDatabase()") == [(name,)]
