"""Two runs or two moments, place by place."""

from __future__ import annotations

from observer.story.differences import differences, places_until, totals
from observer.story.places import MEASURES, Place
from tests.builders import HEAP, Script, site


def run(*, leaks: bool, extra: int = 0) -> Script:
    """A run that asks for 100 bytes at line 5, which it may not free, and for so many pieces of 10 at line 9."""
    script = Script()
    script.call("malloc", 100, result=HEAP, site=site(5))
    if not leaks:
        script.call("free", None, pointer=HEAP, site=site(6))
    for number in range(extra):
        script.call("malloc", 10, result=HEAP + 128 + 32 * number, site=site(9))
    return script


def test_places_that_are_the_same_are_left_out() -> None:
    one, two = places_until(run(leaks=True).events), places_until(run(leaks=True).events)
    assert differences(one, two, "bytes") == []
    assert totals(one) == totals(two)


def test_what_is_only_in_one_of_them_was_nothing_in_the_other() -> None:
    one, two = places_until(run(leaks=True).events), places_until(run(leaks=True, extra=3).events)
    (more,) = differences(one, two, "bytes")
    assert more.text == site(9).text
    assert (more.before["bytes"], more.after["bytes"], more.by("calls"), more.by("live")) == (0, 30, 3, 30)
    (less,) = differences(two, one, "bytes")
    assert (less.by("bytes"), less.after) == (-30, dict.fromkeys(MEASURES, 0))
    assert totals(two)["bytes"] == totals(one)["bytes"] + 30


def test_those_come_first_that_differ_most_in_what_is_asked_for() -> None:
    one, two = places_until(run(leaks=False).events), places_until(run(leaks=True, extra=3).events)
    assert [each.text for each in differences(one, two, "live")] == [site(5).text, site(9).text]
    assert [each.text for each in differences(one, two, "bytes")] == [site(9).text, site(5).text]


def test_a_moment_is_after_its_event() -> None:
    events = run(leaks=False, extra=2).events
    first, last = events[0].n, events[-1].n
    (place,) = [place for place in places_until(events, first) if place.live]
    assert (place.live, place.calls) == (100, 1)
    assert places_until(events, last) == places_until(events)
    assert places_until(events, first - 1) == []


def test_of_a_place_that_both_have_the_site_is_known() -> None:
    first = Place("a.c:1", None, 1, calls=1)
    (found,) = differences([first], [Place("a.c:1", site(1), 1, calls=2)], "calls")
    assert found.site == site(1)
