"""A running server, and an import of files, put together: begin with `server.py`."""
