"""What a process holds over time, in few points, none of its peaks lost."""

from __future__ import annotations

from observer.model.events import Event
from observer.story.curves import curve
from tests.builders import HEAP, PAGE, call, free, process, story_run


def test_a_short_run_is_told_point_by_point() -> None:
    events: list[Event] = [
        process(0, "start"),
        call(1, size=11, result=HEAP),
        free(2, HEAP),
        process(3, "exit", status=0),
    ]
    assert [(point.n, point.level.asked) for point in curve(events, PAGE)] == [(0, 0), (1, 11), (2, 0), (3, 0)]


def test_a_long_run_keeps_its_peaks_and_its_end() -> None:
    events: list[Event] = []
    for i in range(5000):
        size = 100_003 if i == 3217 else 7 + i % 5
        events += [call(2 * i, size=size, result=HEAP), free(2 * i + 1, HEAP)]
    points = curve(events, PAGE, points=50)
    assert len(points) <= 200
    assert max(point.level.asked for point in points) == 100_003
    assert [point.n for point in points] == sorted(point.n for point in points)
    assert points[-1].n == 9999


def test_other_processes_are_not_in_it() -> None:
    events: list[Event] = [call(0, size=11, result=HEAP), call(1, size=500, result=HEAP, pid=7, tid=7)]
    assert [point.level.asked for point in curve(events, PAGE)] == [11, 11]


def test_the_story_asks_for_two_and_a_half_mebibytes_at_once() -> None:
    assert max(point.level.asked for point in curve(story_run(), PAGE)) == 2_097_169 + 17 * 31_013 + 30_011 + 100
