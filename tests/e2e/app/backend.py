"""The example's second program: how much is there of an item; `nothing` fails. Argument: the prices' port."""

from __future__ import annotations

import sys

import grpc
from flask import Flask
from serving import serve

app = Flask(__name__)
prices = grpc.insecure_channel(f"127.0.0.1:{sys.argv[1]}")


@app.get("/stock/<item>")
def stock(item: str) -> str:
    if item == "nothing":
        raise LookupError(item)
    return prices.unary_unary("/example.Prices/Get")(item.encode(), timeout=10).decode()


if __name__ == "__main__":
    serve(app)
