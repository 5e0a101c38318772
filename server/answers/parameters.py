"""Query parameters of the reading routes and commands. Each has one model, which also describes it in OpenAPI.

Invariant: a refusal names the parameter, its value and what is accepted. A malformed value is InvalidValue (400). A
well-formed value that nothing can answer, such as an unknown layer, is Impossible (422).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Annotated, Any, Literal, TypeVar, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from chronotope.schema.errors import Impossible, InvalidValue
from chronotope.schema.times import parse_duration, parse_time, shortened
from chronotope.server.evidence.question import DEFAULT_LIMIT, Question
from chronotope.server.evidence.settings import Settings
from chronotope.server.evidence.steps import Steps, plan_steps
from chronotope.server.graph.answer import Kind, Layer

MAX_LIMIT = 1_000_000
_DATE = (
    r"((19[7-9]\d|20\d\d)-((0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31)"
    r"|(19[79][26]|198[048]|20[02468][048]|20[13579][26])-02-29)"
)
_CLOCK = r"([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)"
TIME_PATTERN = rf"^(now([+-]\d{{1,4}}[smhdwMy])*(/[smhdwMy])?|\d{{1,15}}(\.\d{{1,9}})?|{_DATE}T{_CLOCK})$"
DURATION_PATTERN = r"^[1-9]\d{0,4}[smhdw]$"

T = TypeVar("T", bound="Parameters")


def split_list(value: object) -> object:
    """Return the entries of a text with commas."""
    if not isinstance(value, str):
        return value
    return [part.strip() or part for part in value.split(",")]


def _time(description: str, example: str) -> Any:
    return Field(
        description=description, examples=[example], json_schema_extra={"pattern": TIME_PATTERN}, max_length=64
    )


def _duration(description: str, example: str) -> Any:
    return Field(
        description=description, examples=[example], json_schema_extra={"pattern": DURATION_PATTERN}, max_length=64
    )


_Text = Annotated[str, Field(min_length=1, max_length=300, json_schema_extra={"pattern": "^[^,]+$"})]
Texts = Annotated[tuple[_Text, ...], Field(min_length=1), BeforeValidator(split_list)]
Layers = Annotated[tuple[Layer, ...], Field(min_length=1), BeforeValidator(split_list)]
Kinds = Annotated[tuple[Kind, ...], Field(min_length=1), BeforeValidator(split_list)]
View = Literal["resolved", "hops"]
_VIEW = "`resolved`: intermediaries collapsed into `via`; `hops`: every hop as it was seen."
Time = Annotated[str, _time("A time: RFC 3339, Unix seconds or milliseconds, or relative to now.", "now-90m")]
Duration = Annotated[str, _duration("A duration: `30s`, `5m`, `1h`, `7d`.", "5m")]


class Parameters(BaseModel):
    """Parameters of a route: no others are accepted."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class WindowParameters(Parameters):
    """A window: `at` and `window`, or `from` and `to`."""

    at: Time | None = Field(None, description="The window's end. Default: now.")
    window: Duration = Field("5m", description="The window's length.")
    from_: Time | None = Field(None, alias="from", description="The window's start, instead of at and window.")
    to: Time | None = Field(None, description="The window's end, with from. Default: now.")

    def interval(self, now_ms: int) -> tuple[int, int]:
        """Return the window [start, end) in Unix milliseconds.

        Raises:
            InvalidTime, InvalidWindow: a time or duration that cannot be understood or used.
            Impossible: both forms are given.
        """
        if self.at is not None and (self.from_ is not None or self.to is not None):
            raise Impossible(f"at {shortened(self.at)} and from or to exclude each other; give one of the two forms")
        length_ms = parse_duration(self.window) * 1000
        end_name = "at" if self.to is None else "to"
        given = self.at if self.to is None else self.to
        end = parse_time("now" if given is None else given, now_ms, name=end_name)
        if self.from_ is None:
            return max(end - length_ms, 0), end
        return parse_time(self.from_, now_ms, name="from"), end


class Filters(Parameters):
    """What is shown of a window."""

    layers: Layers = Field((), description="Whose evidence counts; all by default. One alone is its own view.")
    view: View = Field("resolved", description=_VIEW)
    focus: Texts = Field((), description="Service ids whose neighbourhood is wanted; each hop passes the filters.")
    depth: int = Field(1, ge=1, le=100, description="How many edges away from the focus.")
    direction: Literal["both", "upstream", "downstream"] = Field(
        "both", description="From the focus to its callers (`upstream`), callees (`downstream`) or both."
    )
    namespace: Texts = Field((), description="Only edges with an end in one of these namespaces.")
    kind: Kinds = Field((), description="Only edges with an end of one of these kinds.")
    protocol: Texts = Field((), description="Only edges over one of these protocols.")
    search: str = Field("", max_length=300, description="Only edges with an end whose id holds this text.")
    group_by: str = Field(
        "", max_length=300, description="`namespace`, `kind` or an attribute: nodes with the same value become one."
    )
    measures: Literal["counts", "full"] = Field(
        "counts", description="`full`: latency quantiles and response codes too."
    )

    def wanted(self, start_ms: int, end_ms: int) -> Question:
        """Return the question for the window [start, end), Unix milliseconds."""
        return Question(
            start_ms=start_ms,
            end_ms=end_ms,
            layers=self.layers,
            view=self.view,
            focus=self.focus,
            depth=self.depth,
            direction=self.direction,
            namespaces=self.namespace,
            kinds=self.kind,
            protocols=self.protocol,
            search=self.search,
            group_by=self.group_by,
            full=self.measures == "full",
            limit=getattr(self, "limit", DEFAULT_LIMIT),
        )


class FilterParameters(Filters, WindowParameters):
    """A window, and what is shown of it."""

    positions: bool = Field(
        False,
        description="`true`: where each node is drawn (`x`, `y`; `fixedx`, `fixedy` of Grafana's node graph).",
        json_schema_extra={"enum": [True, False]},
    )

    def question(self, now_ms: int) -> Question:
        """Return the question."""
        return self.wanted(*self.interval(now_ms))


class GraphParameters(FilterParameters):
    """Parameters of the graph."""

    limit: int = Field(DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="Most edges returned, busiest first.")
    format: Literal["json", "nodegraph", "dot", "graphml", "mermaid"] = Field("json", description="Of the answer.")


class StepParameters(Parameters):
    """A window cut into steps."""

    from_: Time = Field("now-1h", alias="from", description="The window's start.")
    to: Time = Field("now", description="The window's end.")
    step: Duration | None = Field(None, description="A multiple of 10s. Default: one that gives at most 120 steps.")
    layers: Layers = Field((), description="Whose evidence counts; all by default.")
    view: View = Field("resolved", description=_VIEW)

    def steps(self, settings: Settings, now_ms: int) -> Steps:
        """Return the steps that cover the window."""
        start = parse_time(self.from_, now_ms, name="from")
        end = parse_time(self.to, now_ms, name="to")
        step = None if self.step is None else parse_duration(self.step, name="step")
        return plan_steps(start, end, step, settings.retention, now_ms, settings.max_buckets)

    def question(self, steps: Steps) -> Question:
        """Return the question for each step."""
        return Question(
            start_ms=steps.start_s * 1000,
            end_ms=steps.end_s * 1000,
            layers=self.layers,
            view=self.view,
            protocols=getattr(self, "protocol", ()),
            full=getattr(self, "measures", "counts") == "full",
        )


class TimelineParameters(StepParameters):
    """Parameters of the timeline."""

    protocol: Texts = Field((), description="Only edges over one of these protocols.")


class SeriesParameters(StepParameters):
    """Parameters of one edge over time."""

    measures: Literal["counts", "full"] = Field(
        "counts", description="`full`: latency quantiles and response codes too."
    )


class ServicesParameters(WindowParameters):
    """Parameters of the list of services."""

    layers: Layers = Field((), description="Whose evidence counts; all by default.")
    view: View = Field("resolved", description=_VIEW)
    search: str = Field("", max_length=300, description="Only services whose id holds this text.")
    namespace: Texts = Field((), description="Only services in one of these namespaces.")
    kind: Kinds = Field((), description="Only services of one of these kinds.")

    def question(self, now_ms: int) -> Question:
        """Return the graph whose services are wanted."""
        start, end = self.interval(now_ms)
        return Question(start_ms=start, end_ms=end, layers=self.layers, view=self.view, limit=MAX_LIMIT)


class ServiceParameters(WindowParameters):
    """Parameters of one service."""

    layers: Layers = Field((), description="Whose evidence counts; all by default.")
    view: View = Field("resolved", description=_VIEW)
    protocol: Texts = Field((), description="Only edges over one of these protocols.")
    measures: Literal["counts", "full"] = Field(
        "counts", description="`full`: latency quantiles and response codes too."
    )

    def question(self, service: str, now_ms: int) -> Question:
        """Return the graph around the service."""
        start, end = self.interval(now_ms)
        return Question(
            start_ms=start,
            end_ms=end,
            layers=self.layers,
            view=self.view,
            protocols=self.protocol,
            full=self.measures == "full",
            focus=(service,),
            limit=MAX_LIMIT,
        )


class PositionsParameters(Parameters):
    """Whose positions are wanted."""

    group_by: str = Field("", max_length=300, description="As of the graph: positions of groups instead of services.")


class NoParameters(Parameters):
    """A route without parameters."""


def parse_parameters(model: type[T], given: Iterable[tuple[str, Sequence[str]]]) -> T:
    """Return the parameters of a query.

    Args:
        model: the route's parameters.
        given: names and values as they came; a list is one text with commas, or several values.

    Raises:
        InvalidValue: an unknown name, one given twice, a malformed value.
        Impossible: a value that is none of the accepted.
    """
    values: dict[str, str] = {}
    names = accepted(model)
    for name, texts in given:
        if name not in names:
            raise InvalidValue(_unknown(name, names))
        if len(texts) > 1 and not names[name]:
            raise InvalidValue(f"{name} is given {len(texts)} times ({shortened(texts[1])} too); give it once")
        values[name] = ",".join(texts)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise _refusal(error.errors(include_url=False)[0]) from error


def accepted(model: type[Parameters]) -> dict[str, bool]:
    """Return the names a model accepts, and whether each takes a list."""
    return {field.alias or name: get_origin(field.annotation) is tuple for name, field in model.model_fields.items()}


def _unknown(name: str, names: Iterable[str]) -> str:
    close = get_close_matches(name, list(names), n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"parameter {shortened(name)} is not known; {hint}accepted: {', '.join(names) or 'none'}"


def _refusal(error: ErrorDetails) -> InvalidValue | Impossible:
    name, value = str(error["loc"][0]), shortened(str(error["input"]))
    context = error.get("ctx", {})
    match error["type"]:
        case "literal_error":
            return Impossible(f"{name} {value} is not known; accepted: {context['expected']}")
        case "greater_than_equal" | "less_than_equal":
            bound = f"at least {context['ge']}" if "ge" in context else f"at most {context['le']}"
            return Impossible(f"{name} {value} is out of range; accepted: {bound}")
        case "int_parsing" | "int_parsing_size":
            return InvalidValue(f"{name} {value} is not a whole number; accepted: digits such as 10")
        case "string_too_long":
            return InvalidValue(f"{name} {value} is too long; accepted: at most {context['max_length']} characters")
        case "string_too_short":
            return InvalidValue(f"{name} has an empty entry; accepted: values with one comma between each two")
        case "missing":
            return InvalidValue(f"{name} is missing; it must be given")
    return InvalidValue(f"{name} {value}: {error['msg']}")
