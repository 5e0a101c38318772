"""The reference of all commands as Markdown, made from the commands themselves."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import cleandoc

import click

from chronotope.server.cli.main import main

_PLAIN_TEXT = "\b\n"  # click's mark for a paragraph that is shown as it is written


def command_reference() -> str:
    """Return every command: its usage, what it does, its options and examples."""
    commands = list(_commands(main, click.Context(main, info_name="chronotope")))
    parts = ["| command | what it does |", "| --- | --- |"]
    for context in commands:
        name = context.command_path
        parts.append(f"| [`{name}`](#{name.replace(' ', '-')}) | {_paragraphs(context.command)[0]} |")
    for context in commands:
        parts += ["", f"## {context.command_path}", "", *_command(context)]
    return "\n".join(parts) + "\n"


def _commands(group: click.Group, context: click.Context) -> Iterator[click.Context]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None:
            continue
        own = click.Context(command, info_name=name, parent=context)
        if isinstance(command, click.Group):
            yield from _commands(command, own)
        else:
            yield own


def _command(context: click.Context) -> Iterator[str]:
    first, *others = _paragraphs(context.command)
    arguments = [_argument(each) for each in context.command.params if isinstance(each, click.Argument)]
    yield from (first, "", "```text", " ".join([context.command_path, *arguments, "[OPTIONS]"]), "```")
    options = [each for each in context.command.params if isinstance(each, click.Option)]
    if options:
        yield from ("", "| option | default | meaning |", "| --- | --- | --- |", *map(_option, options))
    for paragraph in others:
        yield from ("", paragraph)


def _argument(argument: click.Argument) -> str:
    name = argument.metavar or (argument.name or "").upper()
    return name if argument.required else f"[{name}]"


def _option(option: click.Option) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    value = "" if option.is_flag else f" {_value(option)}"
    meaning = (option.help or "").replace("|", "\\|")
    told, _, default = meaning.removesuffix(f"  [env: {option.envvar}]").partition("  [default: ")
    if option.envvar:
        told += f" Also by the variable `{option.envvar}`."
    return f"| {names}{value} | {_default(option, default.removesuffix(']'))} | {told} |"


def _value(option: click.Option) -> str:
    if isinstance(option.type, click.Choice):
        return " or ".join(f"`{choice}`" for choice in option.type.choices)
    return option.metavar or option.type.name.upper()


def _default(option: click.Option, told: str) -> str:
    """Return the default as the help shows it: its own, or one that the help's text names."""
    if option.required:
        return "required"
    if told:
        return told
    return f"`{option.default}`" if option.show_default else "none"


def _paragraphs(command: click.Command) -> list[str]:
    """Return the help's paragraphs; what click shows as written becomes a block."""
    found = []
    for paragraph in cleandoc(command.help or "").split("\n\n"):
        if paragraph.startswith(_PLAIN_TEXT):
            found.append(f"```text\n{paragraph.removeprefix(_PLAIN_TEXT)}\n```")
        else:
            found.append(" ".join(paragraph.split()))
    return found
