"""Columns and the compiled primitives under them: dense codes, hash tables, bytes."""
