"""Example traffic: a few real traces, replayed as if they happened now."""
