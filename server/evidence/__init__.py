"""What the store holds of a window: which tables, which statement, edges as columns."""
