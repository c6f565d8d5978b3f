"""The heap profile of a run: the same as events one by one tell, whatever is looked at together."""

from __future__ import annotations

import random
from itertools import pairwise

import numpy as np
import pytest

from observer.glibc.chunks import chunk_size
from observer.model.events import ChunkRef, Event
from observer.story.places import Place, Places
from observer.story.profile import EVENTS_EDGES, MOMENTS, Curve, Lifetime, ranked
from observer.story.size_classes import CLASSES, chunk_sizes, class_of, range_of
from tests.builders import HEAP, MAP, PAGE, PID, call, fault, free, process, site
from tests.columned import used

ONE, TWO, THREE = HEAP + 0x1000, HEAP + 0x9000, HEAP + 0x20000


def values(place: Place) -> tuple[object, ...]:
    return (
        place.text, place.first, place.calls, place.asked, place.wasted, place.live, place.pieces, place.faults,
        place.frames,
    )  # fmt: skip


def random_run(seed: int, length: int = 400) -> list[Event]:
    """Calls of two processes at few addresses, misuses among them, page faults and execs."""
    chance = random.Random(seed)
    events: list[Event] = []
    alive: dict[tuple[int, int], int] = {}
    for n in range(length):
        pid, address = PID + chance.randrange(2), HEAP + 16 * chance.randrange(12) + chance.choice((0, 0, 0, 8))
        place, kind = site(chance.randrange(1, 6)), chance.randrange(20)
        common = {"pid": pid, "tid": pid, "site": place, "origin": chance.choice(("program", "libc"))}
        if kind < 8:
            size = chance.choice((0, 1, 24, 25, 1000, 5000, 1 << 33))
            events.append(call(n, size=size, result=address, allocator=chance.choice(("glibc", "x.so")), **common))
            alive[pid, address] = n
        elif kind < 14:
            events.append(free(n, address, **common))
            alive.pop((pid, address), None)
        elif kind < 17:
            result = chance.choice((0, address, HEAP + 16 * chance.randrange(12)))
            size = chance.choice((0, 7, 300))
            events.append(call(n, "realloc", size, pointer=address, result=result, allocator="glibc", **common))
            if result or not size:
                alive.pop((pid, address), None)
            if result:
                alive[pid, result] = n
        elif kind < 19 and (pid, address) in alive:
            chunk = ChunkRef(alive[pid, address], address, 1)
            events.append(fault(n, address, chunk=chunk, site=place, pid=pid, access=chance.choice(("write", "read"))))
        elif kind == 19 and n % 3 == 0:
            events.append(process(n, "exec", pid=pid, tid=pid, path="/bin/true"))
            alive = {key: made for key, made in alive.items() if key[0] != pid}
        else:
            events.append(call(n, "malloc_usable_size", None, pointer=address, result=32, **common))
    return events


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("at_once", [1, 7, 1000])
def test_columns_come_to_what_events_come_to(seed: int, at_once: int) -> None:
    events, places = random_run(seed), Places()
    for event in events:
        places.add(event)
    use = used(events, at_once)
    assert [values(each.place) for each in use.places] == [values(place) for place in places.places.values()]
    assert (use.profile.peak.live, use.profile.live) == (places.peak, places.live)


@pytest.mark.parametrize("seed", range(4))
def test_the_peak_is_the_same_however_many_calls_are_looked_at_together(seed: int) -> None:
    one, all_ = used(random_run(seed), 1), used(random_run(seed))
    assert [each[1:] for each in one.places] == [each[1:] for each in all_.places]
    assert (one.profile.peak[:3], one.peak, one.end) == (all_.profile.peak[:3], all_.peak, all_.end)
    assert one.profile.curve() == all_.profile.curve()


def test_the_peak_is_made_of_what_was_alive_then() -> None:
    use = used([
        call(0, size=101, result=ONE, site=site(3)), call(1, size=53, result=TWO, site=site(4)),
        free(2, ONE), call(3, size=211, result=THREE, site=site(4)), free(4, TWO), free(5, THREE),
        call(6, size=7, result=ONE, site=site(3)),
    ])  # fmt: skip
    assert use.profile.peak[:3] == (3, 3000, 264)
    assert [(each.place.text, each.peak, each.peak_pieces) for each in ranked(use.places, "peak")] == [
        ("story.c:4", 264, 2)
    ]


def test_what_ended_processes_left_is_not_freed_and_not_alive() -> None:
    use = used([
        call(0, size=500, result=ONE, pid=77, tid=77, site=site(3)), process(1, "exit", pid=77, tid=77, status=0),
        call(2, size=300, result=ONE, site=site(4)), process(3, "exit", status=0),
    ])  # fmt: skip
    assert (use.profile.peak[:3], use.profile.live) == ((0, 0, 500), 800)
    assert [(each.place.text, each.place.live) for each in ranked(use.places, "live")] == [
        ("story.c:3", 500), ("story.c:4", 300)
    ]  # fmt: skip
    assert (use.end.n, use.end.asked) == (3, 300)


def test_the_c_librarys_own_pieces_are_known_among_those_that_are_left() -> None:
    use = used([
        call(0, size=19, result=ONE, site=site(3), origin="libc"), call(1, size=7, result=TWO, site=site(3)),
    ])  # fmt: skip
    [left] = ranked(use.places, "live")
    assert (left.place.live, left.own, left.own_pieces) == (26, 19, 1)


def test_lifetimes_are_counted_in_events_and_in_time_and_by_place() -> None:
    use = used([
        call(0, size=19, result=ONE, site=site(3)), free(3, ONE), call(4, size=31, result=TWO, site=site(3)),
        call(5, size=31, result=THREE, site=site(4)), free(40, TWO),
    ])  # fmt: skip
    having = [each for each in use.profile.lifetimes() if each.pieces]
    assert having == [Lifetime(0, 10, 1, 19), Lifetime(10, 100, 1, 31)]
    having = [each for each in use.profile.lifetimes(in_time=True) if each.pieces]
    assert having == [Lifetime(1000, 10_000, 1, 19), Lifetime(10_000, 100_000, 1, 31)]
    rest = (0,) * (len(EVENTS_EDGES) - 1)
    assert [each.by_events for each in use.places] == [(1, 1, *rest), (0, 0, *rest)]


def test_sizes_are_classed_by_chunks_and_lose_what_is_rounded_up() -> None:
    use = used([
        call(0, size=24, result=ONE, allocator="glibc"), call(1, size=25, result=TWO, allocator="glibc"), free(2, ONE),
        call(3, size=5000, result=THREE, allocator="glibc"), call(4, size=33, result=ONE, allocator="x.so"),
    ])  # fmt: skip
    assert use.profile.sizes() == [
        (32, 32, 1, 24, 0, 0, 0), (48, 48, 2, 58, 15, 58, 2), (4096, 8176, 1, 5000, 0, 5000, 1),
    ]  # fmt: skip
    assert use.profile.has_other_chunks


def test_classes_of_sizes_have_no_gaps_and_chunks_are_glibcs() -> None:
    bounds = [range_of(number) for number in range(2, CLASSES)]
    assert all(after[0] == before[1] + 16 for before, after in pairwise(bounds))
    edges = np.array([edge for bound in bounds for edge in bound])
    assert class_of(edges[edges < 1 << 52]).tolist() == [
        number for number, bound in enumerate(bounds, 2) for edge in bound if edge < 1 << 52
    ]
    asked = [*range(5000), (1 << 40) + 1]
    assert chunk_sizes(np.array(asked)).tolist() == [chunk_size(size) for size in asked]


def test_a_curve_keeps_what_was_highest_in_each_stretch() -> None:
    curve = Curve(MOMENTS * 10)
    for n, level in ((0, 3), (4, 9), (9, 5), (35, 2), (36, 1)):
        curve.add(n, level)
    assert curve.values()[:6] == [9, 5, 5, 5, 1, 1]


def test_a_run_without_calls_has_no_peak() -> None:
    use = used([process(0, "start", path="/bin/true"), process(1, "exit", status=0)])
    assert (use.places, use.profile.peak.live, use.profile.curve()) == ([], 0, [0] * MOMENTS)


def test_pieces_that_a_mapping_of_their_own_holds_are_at_any_address() -> None:
    use = used([call(0, size=PAGE, result=MAP + 16), call(1, size=PAGE, result=(1 << 47) - 64), free(2, MAP + 16)])
    assert use.profile.live == PAGE
