"""Flow records: who owned their addresses, which of two reports counts, and the edges they add up to."""
