"""What changed between two windows."""
