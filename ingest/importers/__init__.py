"""History from files: each importer streams a file as span columns."""
