"""Places and what they came to."""

from __future__ import annotations

from observer.story.sites import Leak, Sites, SiteTotals, leaks_of
from observer.story.spans import ALWAYS, Piece
from tests.builders import HEAP, Script, site


def test_places_are_told_by_the_bytes_they_asked_for() -> None:
    run = Script()
    run.call("malloc", 100, result=HEAP, site=site(3))
    run.call("malloc", 1000, result=HEAP + 256, site=site(5))
    run.call("calloc", 7, count=11, result=HEAP + 4096, site=site(3))
    run.free(HEAP, site=site(9))
    run.fault(HEAP, site=site(5))
    run.fault(HEAP, access="read", site=site(5))
    run.fault(HEAP, site=None)
    sites = Sites()
    for event in run.events:
        sites.take(event)
    assert sites.top(2) == [SiteTotals("story.c:5", 1, 1, 1000, 1), SiteTotals("story.c:3", 0, 2, 177, 0)]
    assert sites.top(9)[2:] == [SiteTotals("?", 6, 0, 0, 1)]


def test_what_is_there_at_the_end_is_a_leak_of_its_place() -> None:
    pieces = [
        Piece(HEAP, 10, 4, ALWAYS, 4, site(3)), Piece(HEAP, 90, 2, 3, 2, site(3)), Piece(HEAP, 7, 1, ALWAYS, 1, site(3)),
        Piece(HEAP, 19, 5, ALWAYS, 5, None),
    ]  # fmt: skip
    assert leaks_of(pieces) == [Leak("?", 5, 1, 19), Leak("story.c:3", 1, 2, 17)]
