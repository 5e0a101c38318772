"""Columns and the compiled functions below them: dense codes, hash tables, bytes."""
