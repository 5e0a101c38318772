"""Turn the elements of a JSON input into span batches.

Invariant: an element that cannot be understood is counted by reason and logged with its position, and the others are
taken. A file that ends early or is damaged gives all whole elements before the fault, and then the error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from chronotope.ingest.files.json_elements import MalformedJson
from chronotope.ingest.files.json_input import NotUnderstood, log_skip, read_elements
from chronotope.ingest.files.opening import InputFile
from chronotope.ingest.files.spans.rows import RowBuilder
from chronotope.ingest.spans.columns import SpanBatch
from chronotope.schema.errors import InvalidPayload


def import_elements(
    source: InputFile,
    rows: RowBuilder,
    take: Callable[[bytes], None],
    *,
    wrapper: str | None,
    what: str,
    finish: Callable[[], None] = lambda: None,
) -> Iterator[SpanBatch]:
    """Feed each element of a JSON input to `take`, which adds its spans to `rows`; yield batches as they fill.

    Args:
        source: the input.
        rows: where `take` puts rows, and skipped ones.
        take: raises `NotUnderstood` with the reason for an element it cannot use.
        wrapper: the key whose array holds the elements when the top value is an object.
        what: the format's name for a message.
        finish: called before the last batch, for a `take` that holds spans back.

    Raises:
        InvalidPayload: damaged or truncated input (after what came before it), or nothing in it was of the format.
    """
    understood, first_fault = 0, ""
    fault: Exception | None = None
    elements = read_elements(source, wrapper)
    while True:
        try:
            element = next(elements, None)
        except (MalformedJson, InvalidPayload) as cause:
            fault = cause
            break
        if element is None:
            break
        try:
            if element.text is None:
                raise NotUnderstood("too_large")
            take(element.text)
            understood += 1
        except NotUnderstood as cause:
            rows.skip(str(cause))
            first_fault = first_fault or f"{element.place}: {cause}"
            log_skip(source, element.place, str(cause), rows.skipped.total())
        yield from rows.full_batches()
    finish()
    yield from rows.all_batches()
    if isinstance(fault, InvalidPayload):
        raise fault
    if fault is not None:
        raise source.invalid(f"not {what} JSON: {fault}") from fault
    if first_fault and not understood:
        raise source.invalid(f"nothing in it is {what} JSON ({first_fault})")
