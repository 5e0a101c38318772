"""`chronotope rules check`: whether rules are well formed, and how often they would have fired.

Invariant: names come from outside and are printed as text, never as markup.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlencode

import click
import msgspec
from rich.text import Text

from chronotope.schema.config.rules import load_rules
from chronotope.schema.storage.retention import retention_of
from chronotope.schema.times import format_duration
from chronotope.server.answers.parameters import parse_parameters
from chronotope.server.answers.rules import CHECK_PATH, CheckParameters, answer_check
from chronotope.server.answers.source import open_to_read, post_text, source_of
from chronotope.server.cli.options import show
from chronotope.server.cli.tables import console, print_table
from chronotope.server.evidence.settings import Settings
from chronotope.server.rules.backtest import Checks, RuleCheck

_COLUMNS = ("rule", "severity", "edges", "fired", "on", "in all", "longest", "first", "last", "firing")
_TIMEOUT_S = 600


@click.group()
def rules() -> None:
    """Check rules before they are used."""


@rules.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--from", "from_", default="now-7d", show_default=True, metavar="TIME", help="Start of the history.")
@click.option("--to", default="now", show_default=True, metavar="TIME", help="Its end.")
@click.option("--store", metavar="STORE", envvar="CHRONOTOPE_STORE", help="History to check them over.")
@click.option("--server", metavar="URL", help="A server whose history is used instead.")
@click.option(
    "--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True, help="How to print."
)
def check(file: Path, from_: str, to: str, store: str | None, server: str | None, form: str) -> None:
    """Say what is wrong with the rules in FILE, and how often they would have fired in the past.

    FILE is a configuration, or has the section `rules` alone. Without a store or server it is only read.

    \b
    Examples:
      chronotope rules check rules.yaml
      chronotope rules check rules.yaml --store chdb:///tmp/topology --from now-30d
      chronotope rules check chronotope.yaml --server http://127.0.0.1:8428 --format json
    """
    found = load_rules(file)
    if not store and not server:
        click.echo(f"{file}: {len(found)} rules are well formed; --store or --server says how often they would fire")
        return
    parameters = parse_parameters(CheckParameters, [("from", [from_]), ("to", [to])])
    source = source_of(store, server)
    if source.server:
        query = urlencode({"from": from_, "to": to})
        text = file.read_text("utf-8-sig")
        body = post_text(source.server, f"{CHECK_PATH}?{query}", text, "application/yaml", _TIMEOUT_S)
    else:
        with open_to_read(source.store) as opened:
            settings = Settings(retention=retention_of(opened))
            body = answer_check(opened, settings, found, parameters, settings.clock()).body
    show(body, form, _print)


def _print(body: bytes) -> None:
    checks = msgspec.json.decode(body, type=Checks)
    print_table(_COLUMNS, map(_row, checks.rules), f"{checks.from_} to {checks.to}")
    for rule in checks.rules:
        if rule.top:
            console().print(Text(f"\n{rule.rule}: {_resolution(rule)}"))
        for one in rule.top:
            about = ", ".join(f"{k}={v}" for k, v in one.labels.items() if k not in ("alertname", "severity"))
            last = f", last {one.last}" if one.times > 1 else ""
            console().print(Text(f"  {one.times} × {_duration(one.seconds)} in all, first {one.first}{last}: {about}"))


def _row(rule: RuleCheck) -> list[str]:
    return [
        rule.rule,
        rule.severity,
        f"{rule.matched_edges:,}",
        f"{rule.fired:,}",
        f"{rule.subjects:,}",
        _duration(rule.seconds),
        _duration(rule.longest_seconds),
        rule.first or "",
        rule.last or "",
        f"{rule.firing_at_end:,}",
    ]


def _duration(seconds: int) -> str:
    """Seconds in the two largest units that they fill: 1,180 is `19m40s`."""
    parts = [(seconds // 86_400, "d"), (seconds // 3600 % 24, "h"), (seconds // 60 % 60, "m"), (seconds % 60, "s")]
    filled = [f"{count}{unit}" for count, unit in parts if count]
    return "".join(filled[:2]) or "0s"


def _resolution(rule: RuleCheck) -> str:
    if not rule.resolution_seconds:
        return "by the events that were found"
    return f"judged every {format_duration(rule.resolution_seconds)}"
