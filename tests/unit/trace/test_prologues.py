"""Where calls begin whose functions push before they come to their breakpoint."""

from __future__ import annotations

import numpy as np

from observer.recording.merge import Batch
from observer.recording.notes import Allocator
from observer.recording.records import CALL, COUNTED, RETURNED
from observer.trace.prologues import Prologues

SP = 0x7FFD_0000_1000
FAULT = np.dtype([("time", "<u8"), ("tid", "<u4"), ("ip", "<u8"), ("user_sp", "<u8")])
NOTES = [
    Allocator(
        pid=1, t=1, number=1, path="/lib/libc.so.6", is_glibc=True, prologues=((0x1000, 0x1004), (0x2000, 0x2003))
    )
]


def calls(*rows: tuple[int, int, int, int]) -> np.ndarray:
    """Return calls of (began, ended, tid, flags)."""
    records = np.zeros(len(rows), dtype=CALL.dtype)
    for record, (began, ended, tid, flags) in zip(records, rows, strict=True):
        record["began"], record["ended"], record["tid"], record["flags"], record["sp"] = began, ended, tid, flags, SP
    return records


def began(records: np.ndarray, *faults: tuple[int, int, int, int], earlier: np.ndarray | None = None) -> list[int]:
    """Return when the calls begin beside faults of (time, tid, ip, user_sp)."""
    batch = Batch(records, np.arange(len(records)))
    found = Prologues(NOTES).before_pushes(
        batch, calls() if earlier is None else earlier, np.array(list(faults), dtype=FAULT)
    )
    assert (np.diff(found.records["began"].astype(np.int64)) >= 0).all()
    assert (records["sp"][found.indexes] == found.records["sp"]).all()
    return found.records["began"].tolist()


def test_a_call_begins_with_the_fault_of_its_functions_push() -> None:
    assert began(calls((10, 20, 1, RETURNED), (50, 60, 1, RETURNED)), (40, 1, 0x1002, SP - 8)) == [10, 40]


def test_of_two_pages_that_were_pushed_into_it_is_the_first() -> None:
    assert began(calls((50, 60, 1, RETURNED)), (40, 1, 0x1000, SP), (45, 1, 0x1002, SP - 8)) == [40]


def test_a_fault_anywhere_else_says_nothing() -> None:
    one = calls((50, 60, 1, RETURNED))
    for fault in ((40, 1, 0x1004, SP - 8), (40, 1, 0xFFF, SP - 8), (40, 2, 0x1002, SP - 8), (55, 1, 0x1002, SP - 8)):
        assert began(one, fault) == [50]


def test_another_stack_pointer_than_the_calls_is_another_call() -> None:
    assert began(calls((50, 60, 1, RETURNED)), (40, 1, 0x1002, SP + 8)) == [50]
    assert began(calls((50, 60, 1, RETURNED)), (40, 1, 0x1002, SP - 4096)) == [50]


def test_the_fault_of_a_call_that_was_recorded_from_its_first_instruction_on_is_its_own() -> None:
    assert began(calls((30, 45, 1, COUNTED | RETURNED), (50, 60, 1, RETURNED)), (40, 1, 0x1002, SP - 8)) == [30, 50]
    earlier = calls((30, 45, 1, COUNTED | RETURNED))
    assert began(calls((50, 60, 1, RETURNED)), (40, 1, 0x1002, SP - 8), earlier=earlier) == [50]
    assert began(calls((50, 60, 1, COUNTED | RETURNED)), (40, 1, 0x1002, SP - 8)) == [50]


def test_calls_of_other_threads_that_began_meanwhile_come_behind() -> None:
    assert began(calls((45, 60, 2, RETURNED), (50, 70, 1, RETURNED)), (40, 1, 0x2001, SP)) == [40, 45]


def test_without_notes_nothing_changes() -> None:
    batch = Batch(calls((50, 60, 1, RETURNED)), np.arange(1))
    assert Prologues([]).before_pushes(batch, calls(), np.array([(40, 1, 0x1002, SP)], dtype=FAULT)) is batch
