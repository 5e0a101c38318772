"""Metrics: series and samples from Prometheus, expositions and files, and the increases of their counters."""
