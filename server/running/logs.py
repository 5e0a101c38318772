"""Logs of commands on standard error. A message is a constant; its values follow as `key=value`."""

from __future__ import annotations

import logging
import sys

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


class ExtrasFormatter(logging.Formatter):
    """Shows the values that were given as `extra` behind the message."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Return the line."""
        extras = [f" {name}={value!r}" for name, value in vars(record).items() if name not in _OWN]
        return super().formatMessage(record) + "".join(extras)


def log_to_stderr(level: int) -> None:
    """Send logs of this level and above to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(ExtrasFormatter(_FORMAT))
    logging.basicConfig(level=level, handlers=[handler])
    logging.getLogger("numba").setLevel(logging.WARNING)
