"""A child that nobody told of, and who made it."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from observer.tracee import births
from observer.tracee.births import Nursery
from observer.tracee.task import Task

ME, PARENT = os.getpid(), os.getppid()
OTHER = 1 << 30
"""No process of this machine: pid_max is less."""


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Return what sets the clock."""
    return lambda seconds: monkeypatch.setattr(births.time, "monotonic", lambda: seconds)


def task(pid: int) -> Task:
    return Task(pid, pid, None, 0)


def arrived(nursery: Nursery, at: Callable[[float], None], seconds: float) -> births.Arrival:
    """This very process came by at that time, and has waited for long."""
    at(seconds)
    nursery.arrived(ME, 0x57F)
    at(seconds + 60)
    overdue = nursery.overdue()
    assert overdue is not None
    assert (overdue[0], overdue[1].status) == (ME, 0x57F)
    return overdue[1]


def test_it_is_waited_for_before_it_is_taken_in(at: Callable[[float], None]) -> None:
    nursery = Nursery()
    at(5.0)
    nursery.arrived(ME, 0x57F)
    assert (nursery.overdue(), list(nursery)) == (None, [ME])


def test_it_is_the_child_of_who_was_its_parent_when_it_came(at: Callable[[float], None]) -> None:
    nursery = Nursery()
    parent = task(PARENT)
    at(1.0)
    nursery.ended(parent)
    at(10.0)
    nursery.ended(task(OTHER))
    assert nursery.maker_of(ME, arrived(nursery, at, 10.0), []) is parent


def test_of_strangers_it_is_the_one_who_ended_nearest_to_that_moment(at: Callable[[float], None]) -> None:
    nursery = Nursery()
    strangers = [task(OTHER + i) for i in range(3)]
    for seconds, stranger in zip((1.0, 10.1, 13.0), strangers, strict=True):
        at(seconds)
        nursery.ended(stranger)
    arrival = arrived(nursery, at, 10.0)
    assert nursery.maker_of(ME, arrival, [task(OTHER + 9)]) is strangers[1]


def test_without_anybody_there_is_no_maker(at: Callable[[float], None]) -> None:
    nursery = Nursery()
    assert nursery.maker_of(ME, arrived(nursery, at, 1.0), []) is None
