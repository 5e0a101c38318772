"""The manual as its readers use it: its pages, and what each tells them to type, as one script.

A `console` block holds commands (`$ …`, continued by a backslash, or by `> …` for a here-document) and what they print.
The commands of a page are one script. A `yaml` or `python` block whose first line is `# name` is written to that file,
at its place among them. What a page prints is compared where `<!-- output -->` stands before the block. An `sh` block
is not run, and `<!-- not run: reason -->` before it says why.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parents[2]
MANUAL = ROOT / "server" / "manual"
README = ROOT / "README.md"
PAGES = (README, *sorted(MANUAL.glob("*.md")))
TIMEOUT_S = 600  # a busy machine takes minutes for what an idle one does in twenty seconds

_MARK = "\x1e"  # begins a line that says which command comes next, in both outputs
_COMMENT = re.compile(r"^<!--\s*(.*?)\s*-->$", re.DOTALL)
_FILE = re.compile(r"# ([\w.-]+\.(?:ya?ml|py))\n")
_NAMESPACES = ("unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")


class Block(NamedTuple):
    """A fenced block: what it is (`console`), its text, and the comment that stands right before it."""

    kind: str
    text: str
    comment: str


class Step(NamedTuple):
    """A command, or a file to write; and what is printed, None when that is not compared."""

    text: str
    file: str = ""
    printed: str | None = None


class Failure(NamedTuple):
    """The command that failed, and what it said."""

    command: str
    said: str


def why_not_run() -> str:
    """Return why commands cannot be run here; empty when they can."""
    if os.geteuid() != 0:
        return "the manual's commands need root, for a network of their own"
    missing = [name for name in ("unshare", "ip", "curl", "bash") if shutil.which(name) is None]
    return f"not installed: {', '.join(missing)}" if missing else ""


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, in its order."""
    found, comment = [], ""
    for token in MarkdownIt("commonmark").parse(page.read_text("utf-8")):
        if token.type == "fence":
            found.append(Block(token.info.strip(), token.content, comment))
        comment = _COMMENT.sub(r"\1", token.content.strip()) if token.type == "html_block" else ""
    return found


def steps(page: Path) -> list[Step]:
    """Return what a page tells to do, in its order."""
    found: list[Step] = []
    for block in blocks(page):
        named = _FILE.match(block.text)
        if block.kind == "console":
            found += _commands(block.text, compared=block.comment == "output")
        elif block.kind in ("yaml", "python") and named:
            found.append(Step(block.text, named[1]))
    return found


def _commands(text: str, *, compared: bool) -> Iterator[Step]:
    command: list[str] = []
    printed: list[str] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            yield from _step(command, printed, compared=compared)
            command, printed = [line[2:]], []
        elif command and not printed and (command[-1].endswith("\\") or line.startswith("> ") or line == ">"):
            command.append(line[2:] if line[:1] == ">" else line)
        else:
            printed.append(line)
    yield from _step(command, printed, compared=compared)


def _step(command: Sequence[str], printed: Sequence[str], *, compared: bool) -> Iterator[Step]:
    if command:
        yield Step("\n".join(command), printed="\n".join(printed) if compared else None)


def script_of(found: Sequence[Step], folder: Path) -> str:
    """Return a bash script; what the page keeps in `/tmp` is in the folder."""
    lines = ["set -euo pipefail", "ip link set lo up", f"mkdir --parents {shlex.quote(f'{folder}/tmp')}"]
    for number, step in enumerate(found):
        text = step.text.replace("/tmp/", f"{folder}/tmp/")
        lines.append(f"echo '{_MARK}{number}'; echo '{_MARK}{number}' >&2")
        lines.append(f"printf %s {shlex.quote(text)} > {shlex.quote(step.file)}" if step.file else text)
    return "\n".join(lines) + "\n"


def run_steps(found: Sequence[Step], folder: Path) -> Failure | None:
    """Run a page's script in a network of its own; all that it started ends with it."""
    folder.mkdir(parents=True, exist_ok=True)
    out, err = folder / "stdout.log", folder / "stderr.log"
    with out.open("a") as stdout, err.open("a") as stderr:
        command = [*_NAMESPACES, "bash", "-c", script_of(found, folder)]
        try:
            code = subprocess.run(
                command, cwd=_workplace(folder), env=_environment(folder), stdin=subprocess.DEVNULL,
                stdout=stdout, stderr=stderr, timeout=TIMEOUT_S,
            ).returncode  # fmt: skip
        except subprocess.TimeoutExpired:
            code = -1
    said, complaints = _by_step(out.read_text()), _by_step(err.read_text())
    if code != 0:
        last = max(said, default=0)
        return Failure(found[last].text, f"exit code {code}\n{complaints.get(last, '')}\n{said.get(last, '')}")
    for number, step in enumerate(found):
        wanted = None if step.printed is None else step.printed.replace("/tmp/", f"{folder}/tmp/").strip()
        if wanted is not None and wanted != said[number].strip():
            return Failure(step.text, f"printed\n{said[number]}\nbut the page says\n{step.printed}")
    return None


def _workplace(folder: Path) -> Path:
    workplace = folder / "work"
    workplace.mkdir(exist_ok=True)
    return workplace


def _environment(folder: Path) -> dict[str, str]:
    """This tree's `chronotope` and `python` come first."""
    programs = folder / "bin"
    programs.mkdir(exist_ok=True)
    for name, module in (("chronotope", " -m chronotope.server.cli"), ("python", "")):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)}{module} "$@"\n')
        program.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CHRONOTOPE_")}
    return kept | {"PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT / ".dev"), "COLUMNS": "120"}


def _by_step(text: str) -> dict[int, str]:
    found: dict[int, str] = {}
    for part in text.split(_MARK)[1:]:
        number, _, said = part.partition("\n")
        found[int(number)] = said
    return found
