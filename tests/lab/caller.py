"""A service that calls others through proxies, at rates that go up and down, each pair's by itself.

Run: `python caller.py PLAN`; PLAN is JSON: `name`, `seed`, `seconds`, `keep` (whether connections are kept), and
`calls`: a list of `host`, `port`, `path`, `rate` (a second), `asks` and `answers` (mean bytes).
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from typing import Any

HOLD_S = 4.0  # how long a rate lasts, about
SPREAD = 0.9  # of the logarithm of rates
SIZES = 0.6


class Calls:
    """One pair: calls one after another at a wandering rate, over one connection or each over its own."""

    def __init__(self, plan: dict[str, Any], call: dict[str, Any], rng: random.Random) -> None:
        self._name, self._keep, self._end = plan["name"], plan["keep"], time.monotonic() + plan["seconds"]
        self._call, self._rng = call, rng
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def run(self) -> None:
        """Call until the time is over."""
        rng = self._rng
        while time.monotonic() < self._end:
            rate = self._call["rate"] * rng.lognormvariate(0, SPREAD)
            until = min(time.monotonic() + rng.expovariate(1 / HOLD_S), self._end)
            while True:
                await asyncio.sleep(rng.expovariate(rate))
                if time.monotonic() >= until:
                    break
                try:
                    await asyncio.wait_for(self._ask(), 10)
                except (TimeoutError, OSError, asyncio.IncompleteReadError):
                    self._drop()
        self._drop()

    async def _ask(self) -> None:
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(self._call["host"], self._call["port"])
        assert self._reader is not None
        rng = self._rng
        body = b"y" * int(self._call["asks"] * rng.lognormvariate(0, SIZES))
        answer = int(self._call["answers"] * rng.lognormvariate(0, SIZES))
        closing = "" if self._keep else "Connection: close\r\n"
        self._writer.write(
            f"POST {self._call['path']} HTTP/1.1\r\nHost: lab\r\nX-Caller: {self._name}\r\nX-Answer: {answer}\r\n"
            f"Content-Length: {len(body)}\r\n{closing}\r\n".encode()
            + body
        )
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = next(int(line[15:]) for line in head.split("\r\n") if line.startswith("content-length:"))
        await self._reader.readexactly(length)
        if not self._keep or "connection: close" in head:
            self._drop()

    def _drop(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None


async def main(plan: dict[str, Any]) -> None:
    """Make all calls of a plan."""
    rng = random.Random(plan["seed"])
    await asyncio.gather(*(Calls(plan, call, random.Random(rng.random())).run() for call in plan["calls"]))


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
