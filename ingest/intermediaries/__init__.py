"""Hops through load balancers and proxies, resolved to the edges that they carry."""
