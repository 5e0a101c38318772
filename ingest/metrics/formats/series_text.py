"""Parse the text of one series, or of one `# TYPE` line, to names and labels. It runs seldom: see `line_scan`.

Invariant: a text is read as Prometheus reads it, or refused with a reason of `REFUSALS`; never half of it.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/, with UTF-8 names in quotes as Prometheus 3 has
them. An escape that the format does not know stays as it is, as in Prometheus.
"""

from __future__ import annotations

import re

REFUSALS = ("bad_utf8", "bad_series", "duplicate_label", "label_limit", "series_limit", "ignored")

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_QUOTED = r'"([^"\\]*(?:\\.[^"\\]*)*)"'
_LABEL = re.compile(
    rf"[ \t]*(?:([a-zA-Z_][a-zA-Z0-9_]*)|{_QUOTED})[ \t]*(?:=[ \t]*{_QUOTED}[ \t]*)?(,|(?=\}}))", re.DOTALL
)
_END = re.compile(r"[ \t]*\}")
_TYPE = re.compile(rf"#[ \t]*TYPE[ \t]+(?:([a-zA-Z_:][a-zA-Z0-9_:]*)|{_QUOTED})[ \t]+([a-z]+)[ \t]*")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"n": "\n", '"': '"', "\\": "\\"}
_TYPES = frozenset(
    ("counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset", "unknown", "untyped")
)


class Refused(Exception):
    """A series that is not used; the message is a reason of `REFUSALS`."""


def parse_series(text: bytes, max_labels: int = 128) -> tuple[str, dict[str, str]]:
    """Return (name, labels) of `name{label="value",…}`, `{"name",label="value"}` or `name`.

    Raises:
        Refused: with the reason.
    """
    try:
        line = text.decode()
    except UnicodeDecodeError:
        raise Refused("bad_utf8") from None
    found = _NAME.match(line)
    name, position = (found.group(), found.end()) if found else ("", 0)
    rest = line[position:].lstrip(" \t")
    if not rest:
        if not name:
            raise Refused("bad_series")
        return name, {}
    return _parse_labels(name, rest, max_labels)


def _parse_labels(name: str, text: str, max_labels: int) -> tuple[str, dict[str, str]]:
    """Read `{…}`, which may hold the name."""
    labels: dict[str, str] = {}
    position = 1
    while (found := _LABEL.match(text, position)) is not None:
        unquoted, quoted, value, _ = found.groups()
        key = unquoted if unquoted is not None else unescape(quoted)
        if value is None:
            if unquoted is not None or name:
                raise Refused("bad_series")
            name = key
        elif key in labels:
            raise Refused("duplicate_label")
        elif len(labels) >= max_labels:
            raise Refused("label_limit")
        elif not key or key == "__name__":
            raise Refused("bad_series")
        else:
            labels[key] = unescape(value)
        position = found.end()
    ending = _END.match(text, position)
    if text[0] != "{" or not name or ending is None or ending.end() != len(text):
        raise Refused("bad_series")
    return name, labels


def parse_type(line: bytes) -> tuple[str, str] | None:
    """Return (family, type) of a `# TYPE` line; None for one that says nothing known."""
    found = _TYPE.fullmatch(line.decode(errors="replace"))
    if found is None or found.group(3) not in _TYPES:
        return None
    family = found.group(1) if found.group(1) is not None else unescape(found.group(2))
    kind = found.group(3)
    return family, "unknown" if kind == "untyped" else kind


def unescape(text: str) -> str:
    r"""Return a quoted text's meaning: `\\`, `\"` and `\n` are known."""
    if "\\" not in text:
        return text
    return _ESCAPE.sub(lambda found: _ESCAPES.get(found.group(1), found.group()), text)
