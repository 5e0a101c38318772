"""From evidence columns to the graph of a moment; pure."""
