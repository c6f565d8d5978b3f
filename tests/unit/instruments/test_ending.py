"""When a recording ends early, and why: the first reason counts."""

from __future__ import annotations

import pytest

from observer.instruments.ending import Ending


class Disk:
    """Stands for `Room`: with so many bytes free, of which `least` have to be."""

    def __init__(self, free: int) -> None:
        self.free = free

    def is_short(self, written: int) -> bool:
        return self.free < (4 << 20) + written


class Spools:
    """Stands for a Sink: what there is by now."""

    recorded = 0
    written = 0
    failure: OSError | None = None

    def error(self) -> OSError | None:
        return self.failure


def ending(spools: Spools, disk: Disk, *, most: int | None = None, last: int | None = None, faults: int = 0) -> Ending:
    return Ending(spools, disk, most=most, last=last, sampled=lambda: faults, bulk=lambda: 0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("most", "last", "why", "stops"), [
        (100, None, "--max-events 100", False), (None, 100, "--stop-after 100", True),
        (100, 300, "--max-events 100", False), (300, 100, "--stop-after 100", True),
    ],
)  # fmt: skip
def test_it_ends_at_the_lower_limit(most: int | None, last: int | None, why: str, stops: bool) -> None:
    spools = Spools()
    end = ending(spools, Disk(1 << 40), most=most, last=last)
    spools.recorded = 99
    assert (end.is_due(), end.why) == (False, "")
    spools.recorded = 100
    assert (end.is_due(), end.why, end.stops) == (True, why, stops)


def test_page_faults_count_when_they_were_looked_at() -> None:
    spools = Spools()
    end = ending(spools, Disk(1 << 40), most=100, faults=60)
    spools.recorded = 50
    assert not end.is_due()
    assert (end.look(), end.why) == (True, "--max-events 100")


def test_without_limits_nothing_ends_it() -> None:
    spools = Spools()
    end = ending(spools, Disk(1 << 40), faults=1 << 40)
    spools.recorded = 1 << 40
    assert not end.look()
    assert not end.is_due()


def test_a_disk_that_fills_up_ends_it_at_the_next_look_or_after_many_records() -> None:
    spools, disk = Spools(), Disk(1 << 40)
    end = ending(spools, disk)
    disk.free = 3 << 20
    assert not end.is_due(), "no stop pays for a look at the disk"
    spools.recorded = 1 << 14
    assert (end.is_due(), end.why) == (True, "the disk is nearly full: 3 MiB are free")
    assert ending(spools, disk).look()


def test_what_cannot_be_stored_ends_it() -> None:
    spools = Spools()
    spools.failure = OSError(28, "No space left on device")
    end = ending(spools, Disk(1 << 40))
    assert (end.look(), end.why) == (True, "nothing more can be stored: No space left on device")


def test_the_first_reason_stays() -> None:
    spools = Spools()
    end = ending(spools, Disk(1 << 40), last=10)
    end.ask("--until work")
    spools.recorded = 20
    assert (end.is_due(), end.why, end.stops) == (True, "--until work", False)


def test_what_there_is_so_far_is_told() -> None:
    spools = Spools()
    end = Ending(spools, Disk(1 << 40), most=None, last=None, sampled=lambda: 7, bulk=lambda: 1000)  # type: ignore[arg-type]
    spools.recorded, spools.written = 5, 300
    end.look()
    assert end.so_far == (12, 1300)
