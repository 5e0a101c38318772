"""A YAML file as plain values that remember their line.

Invariant: a scalar is the text of the file, or None for `null`, `~` and nothing. No text ever turns into a number, a
date or a boolean by its looks. A key that is twice in one mapping is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from chronotope.schema.errors import InvalidConfig

Key = tuple[str | int, ...]

MAX_DEPTH = 20
_NULL = "tag:yaml.org,2002:null"


@dataclass(slots=True)
class ConfigFile:
    """The file's values, and the line of each key (`("trace", "answer_wait")`) and list item (`("identities", 0)`)."""

    path: str
    values: Mapping[str, object] = field(default_factory=dict)
    lines: dict[Key, int] = field(default_factory=dict)

    def error(self, key: Key, text: str) -> InvalidConfig:
        """Return the error that says what is wrong with a key: `file:line: key: text`."""
        return InvalidConfig(f"{self.path}:{self.line(key)}: {shown(key)}{text}")

    def line(self, key: Key) -> int:
        """Return the line of a key, or of the nearest thing that holds it."""
        while key and key not in self.lines:
            key = key[:-1]
        return self.lines.get(key, 1)


def shown(key: Key) -> str:
    """Return a key as people write it, with a colon: `identities[0].port: `; nothing for the file itself."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key)
    return f"{text.removeprefix('.')}: " if text else ""


def read_config_file(path: str | Path) -> ConfigFile:
    """Read a YAML file with positions. An empty file has no values.

    Raises:
        InvalidConfig: not readable, not YAML, not a mapping, a key twice; with file, line and key.
    """
    try:
        text = Path(path).read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InvalidConfig(f"{path}: the configuration cannot be read: {reason}") from error
    return parse_config_text(text, str(path))


def parse_config_text(text: str, path: str = "configuration") -> ConfigFile:
    """Like `read_config_file`, of a text."""
    file = ConfigFile(path)
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InvalidConfig(f"{path}:{line}: this is not YAML: {error.problem or error}") from error
    except yaml.YAMLError as error:
        raise InvalidConfig(f"{path}: this is not YAML: {error}") from error
    values = _value(file, root, ()) if root is not None else None
    if values is not None and not isinstance(values, dict):
        raise file.error((), "a configuration is a mapping of sections (`key: value`)")
    file.values = values or {}
    return file


def _value(file: ConfigFile, node: yaml.Node, key: Key) -> object:
    if len(key) > MAX_DEPTH:
        raise file.error(key, f"nested deeper than {MAX_DEPTH} levels")
    file.lines.setdefault(key, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        return _mapping(file, node, key)
    if isinstance(node, yaml.SequenceNode):
        return [_value(file, item, (*key, index)) for index, item in enumerate(node.value)]
    return None if node.tag == _NULL else str(node.value)


def _mapping(file: ConfigFile, node: yaml.MappingNode, key: Key) -> dict[str, object]:
    values: dict[str, object] = {}
    for name_node, value_node in node.value:
        name = str(name_node.value)
        inner = (*key, name)
        line = name_node.start_mark.line + 1
        if not isinstance(name_node, yaml.ScalarNode):
            raise InvalidConfig(f"{file.path}:{line}: {shown(key)}a key is text, not a list or mapping")
        if name in values:
            raise InvalidConfig(
                f"{file.path}:{line}: {shown(inner)}stands here a second time (first on line {file.lines[inner]})"
            )
        file.lines[inner] = line
        values[name] = _value(file, value_node, inner)
    return values
