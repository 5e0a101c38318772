"""From processes to services: what is known of a process, and the rules that name its service."""
