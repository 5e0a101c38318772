"""OTLP: bytes to span columns, and the HTTP and gRPC receivers."""
