"""Receivers and collectors: bytes from outside become edge observations."""
