"""The command line: the one place where ingest and server meet."""
