"""OTLP receivers: the same spans by HTTP (protobuf or JSON) and by gRPC.

Invariant: success is answered only when the spans' edges are durable. Spans that cannot be used are counted in
`partial_success`; the rest of their request is taken.

Source: OTLP specification 1.5 (status codes, partial success, retry hints).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import grpc
from flask import Blueprint, Response, request
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToJson
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from chronotope.ingest.otlp.decode import OtlpDecoder
from chronotope.ingest.requests.body import read_body
from chronotope.ingest.spans.columns import SpanBatch
from chronotope.schema.errors import Busy, ChronotopeError, InvalidPayload, StoreError, TooLarge, UnsupportedMedia

logger = logging.getLogger(__name__)

PROTOBUF, JSON = "application/x-protobuf", "application/json"
_METHOD = "opentelemetry.proto.collector.trace.v1.TraceService"
# What of a request was refused; other reasons (no_peer) are facts about spans that were taken.
REFUSED = ("bad_id", "no_service", "time_out_of_range")
_STORE_RETRY_S = 5

Put = Callable[[SpanBatch], None]


def traces_blueprint(decoder: OtlpDecoder, put: Put, max_body_bytes: int) -> Blueprint:
    """Return the route `POST /v1/traces`."""
    blueprint = Blueprint("otlp", __name__)

    @blueprint.post("/v1/traces")
    def export_traces() -> Response:
        kind = request.mimetype
        if kind not in (PROTOBUF, JSON):
            raise UnsupportedMedia(f"Content-Type {request.content_type!r} is not OTLP; send {PROTOBUF} or {JSON}")
        body = read_body(request, max_body_bytes)
        batch = decoder.decode(body) if kind == PROTOBUF else decoder.decode_json(body)
        put(batch)
        answer = partial_success(batch.skipped)
        text = MessageToJson(answer, indent=None) if kind == JSON else answer.SerializeToString()
        return Response(text, content_type=kind)

    return blueprint


def partial_success(skipped: Counter[str]) -> ExportTraceServiceResponse:
    """Return OTLP's answer: empty when all was taken, else how many spans were not and why."""
    refused = {reason: skipped[reason] for reason in REFUSED if skipped[reason]}
    answer = ExportTraceServiceResponse()
    if refused:
        answer.partial_success.rejected_spans = sum(refused.values())
        said = ", ".join(f"{reason}: {count}" for reason, count in refused.items())
        answer.partial_success.error_message = f"spans not used: {said}"
    return answer


class TraceService(grpc.GenericRpcHandler):  # type: ignore[misc]
    """`TraceService/Export` over raw bytes: the scanner reads them, no message objects are made."""

    def __init__(self, decoder: OtlpDecoder, put: Put) -> None:
        self._decoder = decoder
        self._put = put

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """Return the handler of `Export`, None for any other method."""
        if details.method != f"/{_METHOD}/Export":
            return None
        return grpc.unary_unary_rpc_method_handler(
            self._export, response_serializer=ExportTraceServiceResponse.SerializeToString
        )

    def _export(self, body: bytes, context: grpc.ServicerContext) -> ExportTraceServiceResponse:
        try:
            batch = self._decoder.decode(body)
            self._put(batch)
        except Exception as error:  # noqa: BLE001 - gRPC would send its text to the client
            context.abort_with_status(_status(error))
        return partial_success(batch.skipped)


class _Abort(grpc.Status):  # type: ignore[misc]
    def __init__(self, code: grpc.StatusCode, details: str, metadata: tuple[tuple[str, bytes], ...]) -> None:
        self.code, self.details, self.trailing_metadata = code, details, metadata


def _status(error: Exception) -> _Abort:
    """Map an error to a gRPC status; what may be retried says so by RetryInfo, as OTLP asks.

    What the store says may hold parts of a statement, and what nobody expected may hold anything: that is for the log.
    """
    if isinstance(error, Busy):
        return _retry_later(str(error), error.retry_after_s)
    if isinstance(error, StoreError):
        logger.warning("spans were not stored", extra={"error": str(error)})
        return _retry_later("the store cannot take spans now; send them again later", _STORE_RETRY_S)
    if not isinstance(error, ChronotopeError):
        logger.error("unexpected error", exc_info=error)
        return _Abort(grpc.StatusCode.INTERNAL, "the server failed to take this request; its log has the reason", ())
    codes = {TooLarge: grpc.StatusCode.RESOURCE_EXHAUSTED, InvalidPayload: grpc.StatusCode.INVALID_ARGUMENT}
    return _Abort(codes.get(type(error), grpc.StatusCode.INTERNAL), str(error), ())


def _retry_later(message: str, wait_s: int) -> _Abort:
    status = Status(code=grpc.StatusCode.UNAVAILABLE.value[0], message=message)
    status.details.add().Pack(RetryInfo(retry_delay=Duration(seconds=wait_s)))
    details = (("grpc-status-details-bin", status.SerializeToString()),)
    return _Abort(grpc.StatusCode.UNAVAILABLE, message, details)


def grpc_server(decoder: OtlpDecoder, put: Put, max_body_bytes: int, threads: int = 16) -> grpc.Server:
    """Return a gRPC server with the trace service, not yet bound to a port."""
    options = [("grpc.max_receive_message_length", max_body_bytes), ("grpc.so_reuseport", 0)]
    pool = ThreadPoolExecutor(threads, thread_name_prefix="otlp-grpc")
    server = grpc.server(pool, options=options)
    server.add_generic_rpc_handlers((TraceService(decoder, put),))
    return server
