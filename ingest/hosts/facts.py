"""Parse what /proc says of a process.

Invariant: any bytes give an answer. What cannot be understood is left out. Text that is no UTF-8 keeps its bytes as
escapes. Nothing here does input.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from urllib.parse import unquote

OTEL_NAME, OTEL_ATTRIBUTES = "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"

_CONTAINER = re.compile(r"(?:^|[-:/_])([0-9a-f]{64}|[0-9a-f]{32}-[0-9]{10})(?:\.scope)?$")
_POD = re.compile(
    r"pod([0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12}|[0-9a-f]{32})(?:\.slice)?$"
)
_UNIT = re.compile(r"^(?!user@)[^/]+\.service$")
_INTERPRETERS = re.compile(r"^(?:python|pypy|ruby|node|nodejs|perl|php|bash|dash|sh|deno|bun|java)[0-9.]*$")
_WITH_VALUE = frozenset(
    {"-W", "-X", "-r", "-I", "--require", "-cp", "-classpath", "--class-path", "--module-path", "-p"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The facts about one process; unknown ones are empty."""

    environment: Mapping[str, str] = field(default_factory=dict)
    command_line: str = ""  # the arguments, with blanks between them
    executable: str = ""  # path
    program: str = ""  # what runs: the script, module or jar of an interpreter, else the executable's name
    unit: str = ""  # systemd's, without `.service`
    container: str = ""  # id
    pod: str = ""  # uid in Kubernetes
    cgroup: str = ""  # path


def parse_environment(data: bytes, wanted: Collection[str]) -> dict[str, str]:
    """Return the wanted variables of an environment (`NAME=value`, NUL between). Of equal names, the first counts."""
    found: dict[str, str] = {}
    for entry in data.split(b"\0"):
        name, equals, value = entry.partition(b"=")
        text = _text(name)
        if equals and text in wanted:
            found.setdefault(text, _text(value))
    return found


def parse_resource_attributes(text: str) -> dict[str, str]:
    """Return the attributes of OTEL_RESOURCE_ATTRIBUTES: `key=value`, commas between, percent-encoded.

    Source: https://opentelemetry.io/docs/specs/otel/resource/sdk/, "Specifying resource information via an environment
    variable".
    """
    pairs = (part.partition("=") for part in text.split(","))
    return {unquote(key).strip(): unquote(value).strip() for key, equals, value in pairs if equals and key.strip()}


def parse_cgroup(data: bytes) -> tuple[str, str, str, str]:
    """Return (path, container id, pod uid, systemd unit) of /proc/PID/cgroup, of either hierarchy.

    Docker, containerd and CRI-O name the container last, after their own prefix; the kubelet names the pod above it.
    """
    paths = [_text(line.split(b":", 2)[2]) for line in data.splitlines() if line.count(b":") >= 2]
    path = max(paths, key=len, default="")
    container = pod = unit = ""
    for candidate in sorted(paths, key=len, reverse=True):
        for part in PurePosixPath(candidate).parts:
            if found := _CONTAINER.search(part):
                container = container or found[1]
            elif found := _POD.search(part):
                pod = pod or found[1].replace("_", "-")
            elif _UNIT.match(part):
                unit = unit or part.removesuffix(".service")
    return path, container, pod, "" if container else unit


def program_of(arguments: list[str], executable: str) -> str:
    """Return the program of a process: an interpreter's script, module or jar, else the name of the executable."""
    name = PurePosixPath(executable or (arguments[0] if arguments else "")).name
    if not _INTERPRETERS.match(name):
        return name
    rest = iter(arguments[1:])
    for argument in rest:
        if argument in ("-m", "-jar", "--module"):
            return _stem(next(rest, "")) or name
        if argument in ("-c", "-e", "--eval"):
            return name
        if argument in _WITH_VALUE:
            next(rest, "")
        elif not argument.startswith("-"):
            return _stem(argument) or name
    return name


def parse_arguments(data: bytes) -> list[str]:
    """Return the arguments of /proc/PID/cmdline."""
    return [_text(argument) for argument in data.removesuffix(b"\0").split(b"\0")] if data else []


def parse_start_ticks(stat: bytes) -> int:
    """Return when a process started, in clock ticks since boot, of /proc/PID/stat; -1 for none.

    The name before it may hold anything, also blanks and parentheses.
    """
    fields = stat.rpartition(b")")[2].split()
    return int(fields[19]) if len(fields) > 19 and fields[19].isdigit() else -1


def _stem(path: str) -> str:
    name = PurePosixPath(path).name
    for ending in (".py", ".jar", ".js", ".mjs", ".cjs", ".ts", ".rb", ".pl", ".php", ".sh"):
        name = name.removesuffix(ending)
    return name


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")
