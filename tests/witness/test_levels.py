"""What a process holds at its end, worked out of its events, is what /proc and the replay say of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from observer.story.levels import Level, Levels
from tests.witness.test_facts import Record

SAMPLES = ["story", "story-static", "brk_growth", "trim", "alloc_large", "first_touch", "realloc", "small_blocks"]


@pytest.mark.parametrize("name", SAMPLES)
def test_the_last_moment_is_the_end(name: str, sample: Callable[[str], str], recorded: Record) -> None:
    run = recorded(sample(name), options=("-q",))
    meta, levels = run.trace.meta, Levels(run.trace.meta.machine.page_size)
    last = Level(0, 0, 0, 0)
    for event in run.trace.events():
        last = levels.take(event) or last
    [end] = meta.ends
    assert last.heap == end.break_end - end.break_start
    assert last.asked == meta.totals["live_bytes"]
    anonymous = [mapping for mapping in end.mappings if not mapping.path and not mapping.shared]
    assert last.mapped <= sum(mapping.size for mapping in anonymous)  # exec maps some of it without a call
    heap = [mapping for mapping in end.mappings if mapping.path == "[heap]"]
    assert last.frames <= sum(end.resident[mapping.start] for mapping in [*heap, *anonymous])
