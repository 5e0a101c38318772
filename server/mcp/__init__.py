"""Tools for programs that think in text, by the Model Context Protocol (SDK `mcp`): answers small enough to read."""
