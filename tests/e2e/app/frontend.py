"""The example's entry: asks the backend by HTTP and the prices by gRPC. Arguments: their two ports."""

from __future__ import annotations

import sys

import grpc
import requests
from flask import Flask
from serving import serve

app = Flask(__name__)
BACKEND = f"http://127.0.0.1:{sys.argv[1]}"
prices = grpc.insecure_channel(f"127.0.0.1:{sys.argv[2]}")


@app.get("/buy/<item>")
def buy(item: str) -> str:
    price = prices.unary_unary("/example.Prices/Get")(item.encode(), timeout=10)
    stock = requests.get(f"{BACKEND}/stock/{item}", timeout=10)
    return f"{price.decode()} {stock.status_code}"


if __name__ == "__main__":
    serve(app)
