"""Resolve hops through load balancers and proxies to the edges that they carry."""
