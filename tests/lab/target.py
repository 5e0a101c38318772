"""A service that answers as many bytes as it is asked for, and writes down who asked how often.

Run: `python target.py PORT LOG`; LOG becomes JSON, caller → calls, when it is terminated.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections import Counter

calls: Counter[str] = Counter()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer requests until the other side closes, or asks for that."""
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in head.split("\r\n"))}
            first = head.split("\r\n", 1)[0]
            await reader.readexactly(int(fields.get("content-length", "0")))
            if "x-caller" in fields:
                calls[fields["x-caller"]] += 1
            close = fields.get("connection", "").lower() == "close" or first.endswith("HTTP/1.0")
            body = b"x" * int(fields.get("x-answer", "2"))
            closing = "Connection: close\r\n" if close else ""
            writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n{closing}\r\n".encode() + body)
            await writer.drain()
            if close:
                break
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main(port: int, log: str) -> None:
    """Serve until SIGTERM."""
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    server = await asyncio.start_server(serve, "0.0.0.0", port, backlog=512)
    await stopping.wait()
    server.close()
    with open(log, "w", encoding="utf-8") as file:
        json.dump(calls, file)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
