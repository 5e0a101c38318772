"""History from files: what opens them and cuts them into elements."""
