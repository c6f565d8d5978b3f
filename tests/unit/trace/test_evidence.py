"""What is told of processes' lives, for the ledger."""

from __future__ import annotations

import numpy as np
import pytest

from observer.recording.notes import Born, Exiting, Note, Released
from observer.trace.evidence import Lives

BORN = Born(pid=7, tid=7, t=10, how="fork", child=8, child_pid=8, shares=False)
SAMPLES = np.dtype([("pid", "<u4"), ("tid", "<u4"), ("time", "<u8"), ("misc", "<u2")])
KERNEL, USER = 1, 2


@pytest.mark.parametrize(
    ("last", "misc", "is_silent"),
    [
        (Exiting(pid=8, tid=8, t=20, minor=1, major=0, last=True), [], True),
        (Exiting(pid=8, tid=8, t=20, minor=1, major=0, last=True), [KERNEL], True),
        (Exiting(pid=8, tid=8, t=20, minor=1, major=0, last=True), [KERNEL, USER], False),
        (Released(pid=8, tid=8, t=20, why="x", how="released", exiting=False, minor=1, major=0), [], False),
        (Released(pid=8, tid=8, t=20, why="x", how="unfollowed", exiting=False, minor=1, major=0), [], False),
    ],
)  # fmt: skip
def test_a_program_without_samples_is_silent_unless_it_was_let_go_before_it_began(
    last: Note, misc: list[int], is_silent: bool
) -> None:
    lives = Lives([BORN, last])
    lives.see(np.array([(8, 8, 15, each) for each in misc], dtype=SAMPLES))
    [life] = [each for each in lives.all if each.pid == 8]
    assert (life.has_silent_program, life.counted) == (is_silent, 1)
