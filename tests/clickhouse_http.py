"""ClickHouse's HTTP protocol in front of the embedded engine: a program for tests, `python clickhouse_http.py FOLDER`.

What it is: the same engine code as a ClickHouse server (chDB), in a process of its own, behind a small HTTP shim of
ours. It exercises the HTTP transport of clickhouse-connect: URLs, forms, parameters, settings, compression, status
codes, credentials.

What it is not: a ClickHouse server. There is no ON CLUSTER, no Keeper, no session, no streaming of an answer (an error
in the middle of one cannot happen here), no progress header, and inserted data is read from a file, not off the socket.
It accepts several statements in one request and URLs to 64 KiB only, where a server takes one and 1 MiB. A server's
limit for form fields (`http_max_field_value_size`, 128 KiB) is kept.

The engine keeps its data in FOLDER, which the starter removes. The program prints its port on the first line, and ends
when its standard input ends, so that it never outlives its starter.
"""

from __future__ import annotations

import base64
import email.parser
import email.policy
import gzip
import json
import os
import re
import sys
import tempfile
import threading
import uuid
import zlib
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

import chdb
import lz4.frame
import zstandard

USER, PASSWORD = "tester", "se:cr/et@"
MAX_FIELD_BYTES = 128 * 1024 + 1

# Parameters of a request that are not settings of the engine.
_TRANSPORT = frozenset(
    {"user", "password", "database", "default_format", "query", "query_id", "session_id", "session_timeout"}
    | {"session_check", "quota_key", "role", "compress", "decompress", "buffer_size", "wait_end_of_query"}
    | {"client_protocol_version", "enable_http_compression", "stacktrace", "send_progress_in_http_headers"}
    | {"http_headers_progress_interval_ms"}
)
_STATUS = {47: 404, 60: 404, 81: 404, 115: 404, 62: 400, 27: 400, 36: 400, 38: 400, 41: 400, 53: 400, 72: 400}
_STATUS |= {386: 400, 457: 400, 164: 403, 497: 403, 516: 403, 48: 501, 159: 408, 209: 408}
_INSERT = re.compile(rb"(\s*INSERT\s+INTO\s.*?)\s+FORMAT\s+(\w+)\s*", re.IGNORECASE | re.DOTALL)
_FORMAT = re.compile(rb"\bFORMAT\s+(\w+)[\s;]*$", re.IGNORECASE)
_ANSWERS = re.compile(rb"\s*(SELECT|WITH|SHOW|DESC|DESCRIBE|EXISTS|EXPLAIN)\b", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DECODE: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
    "lz4": lz4.frame.decompress,
    "zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
}
_ENCODE: dict[str, Callable[[bytes], bytes]] = {
    "zstd": lambda data: zstandard.ZstdCompressor().compress(data),
    "lz4": lz4.frame.compress,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
}


class Refused(Exception):
    """An error answer: ClickHouse's code and the text with it."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Answer(NamedTuple):
    """What a statement gave."""

    body: bytes
    format: str
    summary: dict[str, str]


def quoted(text: str) -> str:
    """Return a string literal of SQL."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def execute(sql: bytes, database: str, settings: dict[str, str], parameters: dict[str, str]) -> Answer:
    """Run one request on a handle of its own: its database and settings end with it."""
    handle = chdb.connect(FOLDER)
    try:
        if database:
            handle.query(f"USE `{database.replace('`', '``')}`")
        for name, value in settings.items():
            if not _NAME.fullmatch(name):
                raise Refused(115, f"Code: 115. DB::Exception: Unknown setting {name!r}. (UNKNOWN_SETTING)")
            handle.query(f"SET {name} = {quoted(value)}")
        return _insert(handle, sql) or _run(handle, sql, parameters)
    except RuntimeError as error:
        text = str(error)
        found = re.search(r"Code: (\d+)", text)
        raise Refused(int(found[1]) if found else 1002, text) from error
    finally:
        handle.close()


def _run(handle: chdb.Connection, sql: bytes, parameters: dict[str, str]) -> Answer:
    said = _FORMAT.search(sql)
    result = handle.query(sql.decode(), "TabSeparated", params=parameters)
    kind = said[1].decode() if said else "TabSeparated" if _ANSWERS.match(sql) else ""
    return Answer(result.bytes() or b"", kind, _summary(result, "read"))


def _insert(handle: chdb.Connection, sql: bytes) -> Answer | None:
    """Run an insert with data in the request, which begins after the line that names its format."""
    head, _, data = sql.partition(b"\n")
    statement = _INSERT.fullmatch(head)
    if not statement:
        return None
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        into, kind = statement[1].decode(), statement[2].decode()
        result = handle.query(f"{into} FROM INFILE {quoted(file.name)} COMPRESSION 'none' FORMAT {kind}")
    return Answer(b"", "", _summary(result, "written"))


def _summary(result: object, verb: str) -> dict[str, str]:
    rows, size, seconds = result.rows_read(), result.bytes_read(), result.elapsed()  # type: ignore[attr-defined]
    summary = {"read_rows": "0", "read_bytes": "0", "written_rows": "0", "written_bytes": "0"}
    return summary | {f"{verb}_rows": str(rows), f"{verb}_bytes": str(size), "elapsed_ns": str(int(seconds * 1e9))}


class Handler(BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Answer `/ping`, or a query that may only read."""
        self._answer({"readonly": "2"})

    def do_POST(self) -> None:
        """Answer a query, or an insert."""
        self._answer({})

    def log_message(self, *_: object) -> None:
        """Say nothing: a test's output is its own."""

    def _answer(self, last_settings: dict[str, str]) -> None:
        body = self._body()
        url = urlsplit(self.path)
        if url.path == "/ping":
            return self._send(200, b"Ok.\n", {})
        if url.path != "/":
            return self._send(404, f"There is no handle {url.path}\n".encode(), {})
        fields = dict(parse_qsl(url.query, keep_blank_values=True))
        try:
            body = self._decoded(body)
            if self.headers.get_content_type() == "multipart/form-data":
                fields |= self._form(body)
                body = b""
            self._check_fields(fields)
            self._check_user(fields)
            answer = self._execute(fields, body, last_settings)
        except Refused as error:
            headers = {"X-ClickHouse-Exception-Code": str(error.code)}
            return self._send(_STATUS.get(error.code, 500), f"{error}\n".encode(), headers)
        headers = {"X-ClickHouse-Summary": json.dumps(answer.summary), "X-ClickHouse-Timezone": TIMEZONE}
        if answer.format:
            headers["X-ClickHouse-Format"] = answer.format
        headers["X-ClickHouse-Query-Id"] = fields.get("query_id") or str(uuid.uuid4())
        return self._send(200, answer.body, headers, compress=fields.get("enable_http_compression") == "1")

    @staticmethod
    def _execute(fields: dict[str, str], body: bytes, last_settings: dict[str, str]) -> Answer:
        query = fields.get("query", "").encode()
        sql = query + b"\n" + body if query and body else query or body
        parameters = {name[6:]: value for name, value in fields.items() if name.startswith("param_")}
        settings = {
            name: value for name, value in fields.items() if name not in _TRANSPORT and not name.startswith("param_")
        }
        return execute(sql, fields.get("database", ""), settings | last_settings, parameters)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _decoded(self, body: bytes) -> bytes:
        encoding = self.headers.get("Content-Encoding", "")
        if encoding and encoding not in _DECODE:
            raise Refused(48, f"Code: 48. DB::Exception: Unknown content encoding {encoding!r}. (NOT_IMPLEMENTED)")
        return _DECODE[encoding](body) if encoding else body

    def _form(self, body: bytes) -> dict[str, str]:
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        form = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
        parts = ((part.get_param("name", header="content-disposition"), part) for part in form.iter_parts())
        return {str(name): bytes(part.get_payload(decode=True)).decode() for name, part in parts}

    @staticmethod
    def _check_fields(fields: dict[str, str]) -> None:
        if any(len(value.encode()) > MAX_FIELD_BYTES for value in fields.values()):
            text = "Poco::Exception. Code: 1000, e.code() = 0, HTML Form Exception: Field value too long"
            raise Refused(1000, text)

    def _check_user(self, fields: dict[str, str]) -> None:
        user = self.headers.get("X-ClickHouse-User") or fields.get("user", "default")
        password = self.headers.get("X-ClickHouse-Key") or fields.get("password", "")
        kind, _, word = self.headers.get("Authorization", "").partition(" ")
        if kind == "Basic":
            user, _, password = base64.b64decode(word).decode().partition(":")
        if (user, password) != (USER, PASSWORD):
            text = f"Code: 516. DB::Exception: {user}: Authentication failed: password is incorrect, or there is no "
            raise Refused(516, text + "user with such name. (AUTHENTICATION_FAILED)")

    def _send(self, status: int, body: bytes, headers: dict[str, str], *, compress: bool = False) -> None:
        accepted = [word.split(";")[0].strip() for word in self.headers.get("Accept-Encoding", "").split(",")]
        encoding = next((name for name in _ENCODE if name in accepted), "") if compress else ""
        if encoding:
            body = _ENCODE[encoding](body)
            headers = headers | {"Content-Encoding": encoding}
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    """Serve until standard input ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.buffer.read()
    os._exit(0)  # not closed in order: an engine with many dropped databases takes long to close


if __name__ == "__main__":
    FOLDER = sys.argv[1]
    ENGINE = chdb.connect(FOLDER)  # keeps the engine alive between requests
    TIMEZONE = ENGINE.query("SELECT timezone()", "TabSeparated").bytes().decode().strip()
    main()
