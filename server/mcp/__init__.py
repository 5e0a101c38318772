"""Tools for programs that read text, by the Model Context Protocol (SDK `mcp`): answers small enough to read."""
