"""What each place asked for, holds and brought in."""

from __future__ import annotations

import pytest

from observer.model.events import ChunkRef, Event
from observer.story.glance import Glance
from observer.story.places import Places
from tests.builders import HEAP, PAGE, PID, call, fault, free, process, site

ONE, TWO = HEAP + 0x1000, HEAP + 0x9000


def followed(*events: Event) -> Places:
    places = Places()
    for event in events:
        places.add(event)
    return places


def test_a_place_counts_its_calls_and_what_lives_of_them() -> None:
    events = [
        call(0, size=101, result=ONE, site=site(3)), call(1, size=53, result=TWO, site=site(3)),
        free(2, ONE, site=site(7)),
    ]  # fmt: skip
    place = followed(*events).places["story.c:3"]
    assert (place.calls, place.asked, place.pieces, place.live) == (2, 154, 1, 53)


def test_what_overflows_is_asked_for_as_columns_have_it() -> None:
    refused = call(0, "calloc", 2, count=(1 << 64) - 1, result=0, errno=12, site=site(3))
    assert followed(refused).places["story.c:3"].asked == (1 << 64) - 1


def test_a_piece_that_realloc_moved_lives_where_it_was_moved() -> None:
    events = [
        call(0, size=101, result=ONE, site=site(3)),
        call(1, op="realloc", pointer=ONE, size=211, result=TWO, site=site(5)),
    ]
    places = followed(*events)
    assert (places.places["story.c:3"].live, places.places["story.c:5"].live) == (0, 211)
    assert (places.live, places.count, places.peak) == (211, 1, 211)


def test_frames_are_those_of_whose_piece_it_is_and_faults_of_who_touched() -> None:
    chunk = ChunkRef(0, ONE, 3 * PAGE)
    events = [call(0, size=3 * PAGE, result=ONE, site=site(3))]
    events += [fault(n, ONE + n * PAGE, chunk=chunk, site=site(9)) for n in (1, 2)]
    events += [fault(3, ONE, chunk=chunk, site=site(9), access="read")]
    places = followed(*events).places
    assert (places["story.c:3"].frames, places["story.c:3"].faults) == (2, 0)
    assert (places["story.c:9"].frames, places["story.c:9"].faults) == (0, 3)


def test_what_is_left_in_a_process_is_told_place_by_place() -> None:
    events = [
        call(0, size=19, result=ONE, site=None), call(1, size=7, result=TWO, site=site(3)),
        call(2, size=90, result=TWO + 64, site=site(3)), call(3, size=10, result=TWO + 512, site=site(3)), free(4, TWO + 64),
        call(5, size=500, result=ONE, site=site(3), pid=77, tid=77),
    ]  # fmt: skip
    places = followed(*events)
    left = [(each.place.text, each.bytes, each.pieces, each.first) for each in places.left_in(PID)]
    assert left == [("?", 19, 1, 0), ("story.c:3", 17, 2, 1)]
    assert places.left_in(9) == []


def test_realloc_to_nothing_frees() -> None:
    places = followed(
        call(0, size=7, result=ONE, site=site(3)), call(1, op="realloc", pointer=ONE, size=0, result=0, site=site(4))
    )
    assert (places.live, places.count) == (0, 0)


def test_the_peak_is_of_processes_that_have_not_ended() -> None:
    child = PID + 1
    events = [
        call(0, size=500, result=ONE, pid=child, tid=child),
        process(1, "exit", pid=child, tid=child, status=0),
        call(2, size=300, result=ONE),
    ]
    places = followed(*events)
    assert (places.peak, places.live, places.held) == (500, 800, 300)
    places.add(call(3, size=100, result=TWO, pid=child, tid=child))
    assert (places.peak, places.held) == (900, 900)


def test_exec_ends_what_lived() -> None:
    places = followed(call(0, size=7, result=ONE, site=site(3)), process(1, "exec", path="/bin/true"))
    assert (places.live, places.alive[PID]) == (0, {})


@pytest.mark.parametrize(("allocator", "wasted"), [("glibc", 40 - 25), ("libjemalloc.so.2", 0)])
def test_waste_is_known_of_chunks_of_glibc(allocator: str, wasted: int) -> None:
    assert (
        followed(call(0, size=25, result=ONE, site=site(3), allocator=allocator)).places["story.c:3"].wasted == wasted
    )


def test_places_are_ranked_by_what_is_asked_for() -> None:
    glance = Glance()
    for event in (call(0, size=5, result=ONE, site=site(3)), call(1, size=7, result=TWO, site=site(4)), free(2, TWO)):
        glance.take(event)
    assert [place.text for place in glance.places.top("bytes")] == ["story.c:4", "story.c:3"]
    assert [place.text for place in glance.places.top("live")] == ["story.c:3"]
