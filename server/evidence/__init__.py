"""Evidence of a window: which tables to read, by which statement, and the edges as columns."""
