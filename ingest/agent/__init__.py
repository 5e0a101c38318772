"""The collector of flows on one host: what its kernel programs saw, as records on their way to a server."""
