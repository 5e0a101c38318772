"""From parameters to the bytes of an answer: for routes, commands and notebooks alike."""
