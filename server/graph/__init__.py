"""The graph of one window: from evidence as columns to the records of an answer."""
