"""What fires now, and what rules would have done in the past: parameters and answers of `/api/v1/alerts` and
`/api/v1/rules/check`.

Invariant: a check writes nothing.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct
from pydantic import Field

from chronotope.schema.config.rules import RuleEntry
from chronotope.schema.storage.store import Store
from chronotope.schema.times import format_time, parse_time
from chronotope.server.answers.answer import Answer
from chronotope.server.answers.parameters import NoParameters, Parameters, Time
from chronotope.server.evidence.settings import Settings
from chronotope.server.rules.backtest import check_rules
from chronotope.server.rules.table import Standing, read_alerts

ALERTS_PATH, CHECK_PATH = "/api/v1/alerts", "/api/v1/rules/check"


class AlertRecord(Struct):
    """An alert; `state` is `pending` while its condition holds for less than the rule's `for`."""

    fingerprint: str
    rule: str
    state: str
    labels: dict[str, str]
    annotations: dict[str, str]
    since: str
    fired_at: str | None


class Alerts(Struct):
    """What holds now, in order of time."""

    alerts: list[AlertRecord]


class CheckParameters(Parameters):
    """The past over which rules are checked."""

    from_: Time = Field("now-7d", alias="from", description="Start of the history.")
    to: Time = Field("now", description="Its end.")


def answer_check(
    store: Store, settings: Settings, rules: list[RuleEntry], parameters: CheckParameters, now_ms: int
) -> Answer:
    """Return what rules would have done."""
    window = (parse_time(parameters.from_, now_ms, name="from"), parse_time(parameters.to, now_ms, name="to"))
    return Answer(msgspec.json.encode(check_rules(store, rules, *window, settings.retention, now_ms, settings.events)))


def answer_alerts(store: Store, settings: Settings, _: NoParameters, now_ms: int) -> Answer:
    """Return the alerts that hold or fire."""
    return Answer(msgspec.json.encode(Alerts([_record(own) for own in read_alerts(store, now_ms + 1)])))


def _record(own: Standing) -> AlertRecord:
    alert, state = own.alert, own.state
    return AlertRecord(
        alert.fingerprint,
        alert.rule,
        "firing" if state.firing else "pending",
        dict(alert.labels),
        dict(alert.annotations),
        format_time(state.since_ms),
        format_time(state.fired_ms) if state.fired_ms else None,
    )
