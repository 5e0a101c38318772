"""The configuration's section `events`: what counts as new, and how sure a silence must be."""

from __future__ import annotations

from pydantic import Field

from chronotope.schema.config.section import Duration, Section


class EventsSection(Section):
    """Dependencies that appear, vanish and return."""

    look_back: Duration = Field(default=30 * 86_400, description="an edge not seen for this long is new again")
    baseline: Duration = Field(
        default=60, description="what a layer sees in its first time is what was there already, not new"
    )
    grace: Duration = Field(default=30, description="how late evidence may usually come before a silence is judged")
    false_alarms: float = Field(
        default=1e-4, gt=0, le=1, description="how often an edge may wrongly be told as vanished, a day"
    )
    rhythm: Duration = Field(
        default=86_400,
        description="an edge with a shorter history than this may run once a day: with few exceptions it is told as "
        "vanished when it was silent for 1.25 times as long",
    )
    change_window: Duration = Field(default=900, description="how long after a reported change events still follow it")
