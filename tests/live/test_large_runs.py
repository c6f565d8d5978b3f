"""Real runs that are told from their tables, columns at a time, come to what they come to event by event."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from observer.report.glance import print_glance
from observer.runs.profiled import glanced, profiled
from observer.story.glance import Glance
from observer.story.places import Place
from tests.live.programs import compile_c
from tests.recordings import Recorded, run_observer
from tests.unit.report.screens import screen

CHURN = r"""
#include <stdlib.h>
int main(void)
{
    static void *slot[61];
    unsigned at = 1;
    for (long i = 0; i < 300007; i++) {
        at = at * 1103515245 + 12345;
        void **one = &slot[(at >> 16) % 61];
        free(*one);
        *one = malloc(16 + (at >> 8 & 1023));
    }
    return 0;
}
"""
SAMPLES = ("story", "crash", "forbidden", "exec_self", "fork_cow", "threads", "longjmp", "realloc", "mmap_threshold")


@pytest.fixture(params=SAMPLES)
def run(request: pytest.FixtureRequest, sample: Callable[[str], str], tmp_path: Path) -> Recorded:
    return run_observer((sample(request.param),), tmp_path / "trace", options=("-q", "--allow-loss"))


def values(place: Place) -> tuple[object, ...]:
    return tuple(
        getattr(place, name)
        for name in ("text", "first", "calls", "asked", "wasted", "live", "pieces", "faults", "frames")
    )


def test_the_last_screen_is_the_same(run: Recorded) -> None:
    expected = Glance()
    for event in run.events:
        expected.take(event)
    found = glanced(run.trace)
    screens = [
        screen(lambda console, told=told: print_glance(console, run.trace.meta, told, "t"))  # type: ignore[misc]
        for told in (found, expected)
    ]
    assert screens[0] == screens[1]
    assert [values(place) for place in found.places.top("calls")] == [
        values(place) for place in expected.places.top("calls")
    ]


def test_what_is_mapped_and_resident_never_is_less_than_what_lives_in_it(run: Recorded) -> None:
    use = profiled(run.trace, run.trace.meta.machine.page_size)
    for told in (use.peak, use.end):
        assert told.asked + told.rounding + told.headers + told.idle == told.mapped
        assert 0 <= told.vacant <= told.resident <= told.mapped
        assert told.untouched <= told.asked


def test_a_run_of_many_windows_is_told_the_same(tmp_path: Path) -> None:
    program = compile_c(CHURN, tmp_path / "churn")
    found = run_observer((str(program),), tmp_path / "trace", options=("-q",))
    found.assert_balanced()
    use, expected = profiled(found.trace, 4096), Glance()
    for event in found.events:
        expected.take(event)
    summary = expected.summary()
    assert (use.profile.peak.live, use.profile.live) == (summary.peak, summary.live)
    ended = sum(each.pieces for each in use.profile.lifetimes())
    assert ended + summary.live_pieces == sum(each.calls for each in use.profile.sizes()) == summary.calls["malloc"]
    assert len(found.events) > 2 << 18
