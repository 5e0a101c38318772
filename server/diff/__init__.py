"""What changed between two windows, and how certain that is."""
