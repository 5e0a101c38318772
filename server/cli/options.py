"""What all reading commands share: options made from the route's parameters, asking, and printing the answer.

Invariant: a command asks what its route asks, and `--format json` prints exactly the HTTP body.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Literal, TypeVar, get_args, get_origin

import click

from chronotope.schema.storage.store import Store
from chronotope.server.answers.answer import Answer
from chronotope.server.answers.parameters import Parameters, T, accepted
from chronotope.server.answers.source import QueryItems, source_of
from chronotope.server.evidence.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])


def reading_options(model: type[Parameters], *, forms: tuple[str, ...] = ()) -> Callable[[F], F]:
    """Add `--store`, `--server`, `--format` and one option for each parameter of a model.

    Args:
        model: the route's parameters.
        forms: values of `--format` beside `table` and `json`.
    """

    def decorate(command: F) -> F:
        for name, field in reversed(model.model_fields.items()):
            if name != "format":
                command = _option(field.alias or name, field)(command)
        formats = click.Choice(["table", "json", *forms])
        command = click.option(
            "--format", "form", type=formats, default="table", show_default=True, help="json: exactly the HTTP body."
        )(command)
        command = click.option("--server", metavar="URL", help="A server that runs, such as http://127.0.0.1:8428.")(
            command
        )
        return click.option(
            "--store",
            metavar="STORE",
            envvar="CHRONOTOPE_STORE",
            help="chdb:///path, chdb://memory or clickhouse://…  [env: CHRONOTOPE_STORE]",
        )(command)

    return decorate


def ask(
    store: str | None,
    server: str | None,
    route: str,
    model: type[T],
    options: dict[str, Any],
    answer: Callable[[Store, Settings, T, int], Answer],
) -> bytes:
    """Return the body of the answer to what the options ask, from a store or from a server."""
    return source_of(store, server).read(route, model, query_items(model, options), answer)


def show(body: bytes, form: str, printer: Callable[[bytes], None]) -> None:
    """Print an answer as a table, or in any other form as it is."""
    if form == "table":
        printer(body)
    else:
        sys.stdout.buffer.write(body)
        sys.stdout.buffer.flush()


def query_items(model: type[Parameters], options: dict[str, Any]) -> QueryItems:
    """Return the options that are set, as names and values of a query."""
    lists = accepted(model)
    values = {name: options.get(_variable(name)) for name in lists}
    return [
        (name, list(value) if lists[name] else [value]) for name, value in values.items() if value not in (None, ())
    ]


def _option(name: str, field: Any) -> Callable[[F], F]:
    annotation = field.annotation
    several = get_origin(annotation) is tuple
    text = (field.description or "") + (" A comma list, or several times." if several else "")
    default = field.default
    if isinstance(default, (str, int)) and default != "":
        text += f"  [default: {default}]"
    return click.option(
        f"--{name.replace('_', '-')}",
        _variable(name),
        default=None,
        multiple=several,
        metavar=_metavar(name, annotation),
        help=text.replace("`", ""),
    )


def _variable(name: str) -> str:
    return "from_" if name == "from" else name


def _metavar(name: str, annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return "|".join(get_args(annotation))
    if name in ("at", "from", "to", "before", "after"):
        return "TIME"
    if name in ("window", "step"):
        return "DURATION"
    return "N" if annotation is int else "TEXT"
