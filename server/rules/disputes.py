"""Detect another server on the same store whose rules differ. Pure.

Invariant: two servers with the same rules and the same evidence never dispute. Only what was written for an instant
that this server judged too, and judged differently, counts. New evidence between the two may explain one difference, so
one is no dispute.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from chronotope.server.rules.evaluation import Found
from chronotope.server.rules.table import Standing

_KEPT_MS = 60_000
_ENOUGH = 3  # instants of the last minute
_SETTLED_MS = 600_000  # after so long without any


@dataclass(slots=True)
class Disputes:
    """What this server found at its last instants, and where another server wrote something else."""

    _judged: dict[int, Mapping[str, Found]] = field(default_factory=dict)  # instant → rule → what holds
    _contradicted: dict[str, set[int]] = field(default_factory=dict)  # rule → instants
    _disputed: dict[str, int] = field(default_factory=dict)  # rule → when it last was

    def see(
        self, standing: Sequence[Standing], known: Collection[str], found: Mapping[str, Found], at_ms: int
    ) -> set[str]:
        """Return the rules that are disputed now.

        Args:
            standing: alerts as they were read before this server wrote any of this instant.
            known: the names of this server's rules.
            found: rule → alerts whose condition holds now; rules that could not be judged are not there.
            at_ms: the instant that is judged, Unix milliseconds.
        """
        self._judged[at_ms] = found
        self._judged = {at: own for at, own in self._judged.items() if at > at_ms - _KEPT_MS}
        for own in standing:
            for instant, holds in ((own.state.since_ms, True), (own.state.resolved_ms, False)):
                if instant in self._judged and self._is_contradicted(own, instant, holds, known):
                    self._contradicted.setdefault(own.alert.rule, set()).add(instant)
        for rule, instants in self._contradicted.items():
            lately = sum(at > at_ms - _KEPT_MS for at in instants)
            if lately >= _ENOUGH or (rule in self._disputed and lately):
                self._disputed[rule] = at_ms
            self._contradicted[rule] = {at for at in instants if at > at_ms - _KEPT_MS}
        self._disputed = {rule: at for rule, at in self._disputed.items() if at > at_ms - _SETTLED_MS}
        return set(self._disputed)

    def _is_contradicted(self, own: Standing, instant: int, holds: bool, known: Collection[str]) -> bool:
        """Whether this server found the opposite of what was written for an instant."""
        judged = self._judged[instant].get(own.alert.rule)
        if judged is None:
            return own.alert.rule not in known and holds  # a rule that this server has not
        return judged.beyond == 0 and (own.alert.fingerprint in judged.alerts) != holds
