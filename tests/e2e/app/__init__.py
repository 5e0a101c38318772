"""A small application for tests: programs that know nothing of tracing, to be run under `opentelemetry-instrument`."""
