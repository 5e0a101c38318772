"""History from files: open them and cut them into elements."""
