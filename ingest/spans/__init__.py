"""Spans as columns, and how two halves of a call become one edge observation."""
