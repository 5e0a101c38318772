"""Graph assembly, HTTP API, page and command line."""
