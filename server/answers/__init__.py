"""From parameters to the bytes of an answer: the same for routes, commands, notebooks and MCP."""
