"""From processes to services: facts about a process, and the rules that name its service."""
