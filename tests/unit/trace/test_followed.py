"""Page faults of processes that are followed, and of those that are not."""

from __future__ import annotations

import numpy as np

from observer.recording.notes import Born, Exec, Note, Released
from observer.trace.followed import Followed

LAYOUT = np.dtype([("pid", "<u4"), ("tid", "<u4"), ("time", "<u8")])


def samples(*pairs: tuple[int, int]) -> np.ndarray:
    return np.array([(pid, pid, time) for pid, time in pairs], dtype=LAYOUT)


def program(pid: int, t: int, *, first: bool = False, joined: bool = False) -> Exec:
    return Exec(
        pid=pid, tid=pid, t=t, path="/bin/x", former=pid, first=first, minor=0, major=0, break_start=0, mappings=(),
        joined=joined,
    )  # fmt: skip


def born(pid: int, child: int, t: int) -> Born:
    return Born(pid=pid, tid=pid, t=t, how="fork", child=child, child_pid=child, shares=False)


def released(pid: int, t: int, how: str) -> Released:
    return Released(pid=pid, tid=pid, t=t, how=how, why="x", exiting=False, minor=0, major=0)


def kept(notes: list[Note], taken: np.ndarray) -> tuple[list[tuple[int, int]], int]:
    followed = Followed(notes)
    only = followed.only(taken)
    return [(pid, time) for pid, _tid, time in only.tolist()], followed.others


def test_where_all_are_followed_every_sample_stays() -> None:
    taken = samples((3, 5), (7, 6), (11, 7))
    assert kept([program(3, 10, first=True), released(3, 20, "released")], taken)[1] == 0


def test_a_child_that_is_let_go_of_is_followed_until_then() -> None:
    notes = [program(3, 10, first=True), born(3, 5, 20), released(5, 30, "unfollowed")]
    taken = samples((3, 9), (3, 15), (5, 25), (5, 30), (5, 31), (3, 99))
    assert kept(notes, taken) == ([(3, 9), (3, 15), (5, 25), (5, 30), (3, 99)], 1)


def test_one_that_becomes_a_program_that_is_asked_for_is_followed_again() -> None:
    notes = [
        program(3, 10, first=True), born(3, 5, 20), released(5, 30, "unfollowed"), program(5, 50, joined=True),
        released(5, 70, "unfollowed"),
    ]  # fmt: skip
    assert kept(notes, samples((5, 40), (5, 50), (5, 60), (5, 80))) == ([(5, 50), (5, 60)], 2)


def test_a_child_of_one_that_runs_free_is_nobodys() -> None:
    notes = [program(3, 10, first=True), born(3, 5, 20), released(5, 30, "unfollowed")]
    assert kept(notes, samples((13, 40), (3, 40))) == ([(3, 40)], 1)
