"""The example's third program: a gRPC service of bytes to bytes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import grpc
from serving import say


def get(item: bytes, _: grpc.ServicerContext) -> bytes:
    return b"price of " + item


if __name__ == "__main__":
    server = grpc.server(ThreadPoolExecutor(4))
    handlers = grpc.method_handlers_generic_handler("example.Prices", {"Get": grpc.unary_unary_rpc_method_handler(get)})
    server.add_generic_rpc_handlers((handlers,))
    say(server.add_insecure_port("127.0.0.1:0"))
    server.start()
    server.wait_for_termination()
