"""Which events of a long run a page stands at, and what can be seen there."""

from __future__ import annotations

from observer.report.page.moments import Moments
from observer.story.spans import ALWAYS


def test_a_run_that_is_short_enough_is_whole() -> None:
    moments = Moments(101, most=101)
    assert moments.is_whole
    assert all(moments.keeps(n) for n in range(101))
    assert moments.sees(7, 8)
    assert not moments.sees(7, 7)


def test_of_a_longer_one_some_are_kept_and_the_rare_and_the_last() -> None:
    moments = Moments(103, rare=[31, 59], most=20)
    assert (moments.is_whole, moments.stride) == (False, 6)
    assert [n for n in range(103) if moments.keeps(n)] == sorted({*range(0, 103, 6), 31, 59, 102})


def test_what_comes_and_goes_between_two_moments_is_not_seen() -> None:
    moments = Moments(103, most=20)
    assert not moments.sees(7, 12)
    assert moments.sees(7, 13)
    assert moments.sees(12, 13)
    assert moments.sees(7, ALWAYS)
    assert not moments.sees(103, ALWAYS)


def test_too_many_rare_ones_are_left_out() -> None:
    assert not Moments(100_003, rare=range(1, 100_003, 2), most=100).keeps(3)
