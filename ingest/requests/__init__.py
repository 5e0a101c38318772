"""From the body of a request to checked columns, under a limit."""
