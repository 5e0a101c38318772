"""How often dear tests repeat: enough for a change to be tried, and more of the same with `CHRONOTOPE_THOROUGH=1`."""

from __future__ import annotations

import os


def repetitions(usual: int, thorough: int) -> int:
    """Return the number of examples, or of rounds."""
    return thorough if os.environ.get("CHRONOTOPE_THOROUGH") else usual
