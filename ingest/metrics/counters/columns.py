"""Series, samples and increases as columns: every source of metrics makes them, and the mapping reads them.

Invariant: a code stands for one (name, labels) as long as its table lives, unless the owner compacts the table and
renumbers all that holds codes. What a table or a parser could not take is counted by reason, never dropped silently.
"""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

REFUSED = -1  # the code of a series that the table did not take
TIME_BITS = 42  # milliseconds until the year 2109
NO_TIME = int(np.iinfo(np.int64).min)

Labels = tuple[tuple[str, str], ...]

COUNTER, GAUGE, HISTOGRAM, GAUGE_HISTOGRAM, SUMMARY = "counter", "gauge", "histogram", "gaugehistogram", "summary"
UNKNOWN = "unknown"
_SUFFIXES = ("_total", "_bucket", "_count", "_sum", "_created", "_gcount", "_gsum", "_info")


class SeriesTable:
    """Interned series: `names[code]` and `labels[code]` of the codes 0, 1, … `len(table) - 1`.

    Append only, so whoever derives something from each series keeps it in a list of its own and looks only at the
    codes that are new. `types` has the declared type of each family seen (`# TYPE`, or Prometheus' metadata).
    """

    def __init__(self, max_series: int = 1_000_000) -> None:
        self.max_series = max_series
        self.names: list[str] = []
        self.labels: list[dict[str, str]] = []  # in the order of their keys
        self.types: dict[str, str] = {}
        self.skipped: Counter[str] = Counter()  # reason → number of samples or lines
        self.keys: list[bytes] = []  # a digest of name and labels, the same in every process
        self._codes: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self.names)

    def code(self, name: str, labels: Labels) -> int:
        """Return the code of a series; REFUSED (and `series_limit` counted) when it is new and the table is full.

        Args:
            name: the metric's name, with its suffix (`http_requests_total`).
            labels: (key, value) pairs sorted by key, without `__name__`; empty values are not labels.
        """
        key = _digest(name, labels)
        code = self._codes.get(key)
        if code is not None:
            return code
        if len(self.names) >= self.max_series:
            self.skipped["series_limit"] += 1
            return REFUSED
        code = self._codes[key] = len(self.names)
        self.keys.append(key)
        self.names.append(sys.intern(name))
        self.labels.append({sys.intern(label): sys.intern(value) for label, value in labels})
        return code

    def type_of(self, name: str) -> str:
        """Return the declared type of a series' family, by the series' name; `unknown` when none was declared."""
        declared = self.types.get(name)
        if declared is not None:
            return declared
        for suffix in _SUFFIXES:
            if name.endswith(suffix):
                return self.types.get(name[: -len(suffix)], UNKNOWN)
        return UNKNOWN

    def declare(self, family: str, kind: str) -> None:
        """Remember the type of a family; not more families than `max_series`."""
        if family in self.types or len(self.types) < self.max_series:
            self.types[sys.intern(family)] = sys.intern(kind)

    def compact(self, keep: np.ndarray) -> np.ndarray:
        """Forget series, so that a table that is full of old ones can take new ones.

        Args:
            keep: bool[len(table)]: which series stay.

        Returns:
            int32[old length]: the new code of each old one, REFUSED where it is forgotten. Whatever holds codes
            (`Counters`, text caches) must be renumbered with it before it is used again.
        """
        renumbered = np.where(keep, np.cumsum(keep) - 1, REFUSED).astype(np.int32)
        kept = np.flatnonzero(keep)
        self.keys = [self.keys[code] for code in kept]
        self.names = [self.names[code] for code in kept]
        self.labels = [self.labels[code] for code in kept]
        self._codes = {key: int(renumbered[code]) for key, code in self._codes.items() if renumbered[code] >= 0}
        return renumbered


def sorted_labels(labels: Mapping[str, str], more: Mapping[str, str] | None = None) -> Labels:
    """Return labels as `SeriesTable.code` wants them: sorted, without `__name__` and empty values.

    Args:
        labels: those of the series.
        more: those of the target (`job`, `instance`). They win, as Prometheus' `honor_labels: false` has it; what the
            series had under such a name is kept as `exported_<name>`.
    """
    pairs = {key: value for key, value in labels.items() if value and key != "__name__"}
    for key, value in (more or {}).items():
        if (own := pairs.pop(key, "")) and value:
            exported = f"exported_{key}"
            while exported in pairs:
                exported = f"exported_{exported}"
            pairs[exported] = own
        elif own:
            pairs[key] = own
        if value:
            pairs[key] = value
    return tuple(sorted(pairs.items()))


def _digest(name: str, labels: Iterable[tuple[str, str]]) -> bytes:
    parts = [name]
    for pair in labels:
        parts += pair
    # The lengths make two different lists of parts two different texts.
    text = "\0".join((*(str(len(part)) for part in parts), "", *parts))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class NativeHistograms:
    """N native histograms; the buckets of histogram n are `offsets[n]:offsets[n+1]` of the last three columns."""

    series: np.ndarray  # int32[N]
    time_ms: np.ndarray  # int64[N]
    count: np.ndarray  # float64[N]
    sum: np.ndarray  # float64[N]
    offsets: np.ndarray  # int64[N+1]
    lower: np.ndarray  # float64[K], in the unit of the metric
    upper: np.ndarray  # float64[K]
    bucket_count: np.ndarray  # float64[K]

    def __len__(self) -> int:
        return len(self.series)

    def take(self, chosen: np.ndarray) -> NativeHistograms:
        """Return the histograms of row numbers int64[M]."""
        sizes = np.diff(self.offsets)[chosen]
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        places = np.arange(offsets[-1]) + np.repeat(self.offsets[chosen] - offsets[:-1], sizes)
        return NativeHistograms(
            *(self.series[chosen], self.time_ms[chosen], self.count[chosen], self.sum[chosen], offsets),
            *(self.lower[places], self.upper[places], self.bucket_count[places]),
        )


@dataclass(frozen=True, slots=True)
class Samples:
    """N samples in any order, as they were read; `value` may be NaN or infinite."""

    series: np.ndarray  # int32[N], codes of a SeriesTable
    time_ms: np.ndarray  # int64[N], Unix milliseconds
    value: np.ndarray  # float64[N]
    native: NativeHistograms | None = None
    # int64[N]: when all of the series' target was read before, if a new series must have begun after that;
    # NO_TIME, or None for all: nothing is known.
    watched: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.series)

    def take(self, chosen: np.ndarray) -> Samples:
        """Return the samples of a mask bool[N] or of row numbers, and all native histograms."""
        watched = None if self.watched is None else self.watched[chosen]
        return Samples(self.series[chosen], self.time_ms[chosen], self.value[chosen], self.native, watched)

    def between(self, begin_ms: int, end_ms: int) -> Samples:
        """Return the samples and histograms with begin_ms <= time < end_ms."""
        inside, native = (self.time_ms >= begin_ms) & (self.time_ms < end_ms), self.native
        if native is not None:
            native = native.take(np.flatnonzero((native.time_ms >= begin_ms) & (native.time_ms < end_ms)))
        return replace(self if inside.all() else self.take(inside), native=native)


@dataclass(frozen=True, slots=True)
class Increases:
    """M increases of counters, each over [begin_ms, end_ms), the time between two samples."""

    series: np.ndarray  # int32[M]
    begin_ms: np.ndarray  # int64[M]
    end_ms: np.ndarray  # int64[M], later than begin_ms
    increase: np.ndarray  # float64[M], finite, positive

    def __len__(self) -> int:
        return len(self.series)

    def take(self, chosen: np.ndarray) -> Increases:
        """Return the increases of a mask bool[M] or of row numbers."""
        return Increases(self.series[chosen], self.begin_ms[chosen], self.end_ms[chosen], self.increase[chosen])


def join_increases(parts: Sequence[Increases]) -> Increases:
    """Return all increases of the parts, in their order."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return Increases(np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    return Increases(
        np.concatenate([part.series for part in parts]),
        np.concatenate([part.begin_ms for part in parts]),
        np.concatenate([part.end_ms for part in parts]),
        np.concatenate([part.increase for part in parts]),
    )


def empty_samples() -> Samples:
    """Return no samples."""
    return Samples(np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.float64))


def join_samples(parts: Sequence[Samples]) -> Samples:
    """Return all samples and native histograms of the parts, in their order."""
    if not parts:
        return empty_samples()
    if len(parts) == 1:
        return parts[0]
    return Samples(
        np.concatenate([part.series for part in parts]),
        np.concatenate([part.time_ms for part in parts]),
        np.concatenate([part.value for part in parts]),
        _join_native([part.native for part in parts if part.native is not None]),
        _join_watched(parts),
    )


def _join_watched(parts: Sequence[Samples]) -> np.ndarray | None:
    if all(part.watched is None for part in parts):
        return None
    return np.concatenate([np.full(len(part), NO_TIME) if part.watched is None else part.watched for part in parts])


def _join_native(parts: Sequence[NativeHistograms]) -> NativeHistograms | None:
    if len(parts) <= 1:
        return parts[0] if parts else None
    joined = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("series", "time_ms", "count", "sum", "lower", "upper", "bucket_count")
    }
    sizes = np.concatenate([np.diff(part.offsets) for part in parts])
    return NativeHistograms(**joined, offsets=np.concatenate([[0], np.cumsum(sizes)]))


def sort_key(code: np.ndarray, time_ms: np.ndarray) -> np.ndarray:
    """Return one number, int64[N], for a code and a time. Numbers sort by the code first, then by the time."""
    key: np.ndarray = (code << TIME_BITS) | np.clip(time_ms, 0, (1 << TIME_BITS) - 1)
    return key
