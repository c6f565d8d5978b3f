"""The ledger's line about live pieces and the walked heap, with heaps made up: whole, excused, and wrong."""

from __future__ import annotations

from typing import Any

import pytest

from observer.model.ledger import LedgerLine
from tests.builders import HEAP, LIBC, MAP, PID
from tests.unit.trace.spooling import Recorder
from tests.unit.trace.test_balance import WHAT_THERE_IS, end, ledger, reasons, told

LIVE = "bytes in live pieces' chunks = chunks in use in the walked heap"
IN_USE, OF_CACHE, MAPPED, INFERRED = range(4)
FIRST, SECOND, THIRD = HEAP + 0x2A0, HEAP + 0x320, HEAP + 0x400


def walked(recorder: Recorder, time: int, *chunks: tuple[int, int, int], **fields: Any) -> None:
    """A walk that met *chunks*: address, size, kind."""
    file = recorder.directory / "heaps.bin"
    at = file.stat().st_size if file.exists() else 0
    with file.open("ab") as out:
        for address, size, kind in chunks:
            out.write(address.to_bytes(8, "little") + (size | kind).to_bytes(8, "little"))
    known: dict[str, Any] = {
        "layout": "2.35", "regions": ((HEAP, HEAP + 0x21000),), "sums": {}, "damage": "", "findings": 0, "unread": "",
        "locked": False,
    }  # fmt: skip
    recorder.note("heap", time, count=len(chunks), at=at, **{**known, **fields})


def begun(recorder: Recorder, *, is_glibc: bool = True, path: str = "/lib/libc.so.6") -> None:
    recorder.start(1)
    recorder.note("allocator", 2, number=1, path=path, is_glibc=is_glibc)


def malloc(recorder: Recorder, size: int, result: int, time: int, **fields: int) -> None:
    recorder.call("malloc", size, began=time, ended=time + 1, result=result, **{"implementation": 1, **fields})


def two_pieces(recorder: Recorder) -> None:
    """100 bytes live, 200 bytes live, 24 given back."""
    begun(recorder)
    malloc(recorder, 100, FIRST, 10)
    malloc(recorder, 200, SECOND, 12)
    malloc(recorder, 24, THIRD, 14)
    recorder.call("free", THIRD, began=16, ended=17, implementation=1)


CHUNKS = ((HEAP, 0x290, OF_CACHE), (FIRST - 16, 0x70, IN_USE), (SECOND - 16, 0xD0, IN_USE))


def line_of(recorder: Recorder, **changes: Any) -> LedgerLine:
    end(recorder, 30)
    recorder.exit(32)
    return ledger(recorder, **changes)[LIVE]


def test_pieces_that_are_chunks_in_use_balance(recorder: Recorder) -> None:
    two_pieces(recorder)
    walked(recorder, 31, *CHUNKS)
    assert told(line_of(recorder)) == (0x70 + 0xD0, 0x70 + 0xD0, 0, "COMPLETE")


def test_chunks_may_be_larger_than_what_was_asked_for(recorder: Recorder) -> None:
    two_pieces(recorder)
    walked(recorder, 31, (FIRST - 16, 0x80, IN_USE), CHUNKS[2])
    line = line_of(recorder)
    assert told(line) == (0x140, 0x150, 0, "COMPLETE WITH EXCLUSIONS")
    assert reasons(line) == [(16, "beyond what was asked for, where the rest was too small to be a chunk")]


def test_a_piece_that_is_no_chunk_in_use_is_inconsistent_and_named(recorder: Recorder) -> None:
    two_pieces(recorder)
    walked(recorder, 31, CHUNKS[2])
    line = line_of(recorder)
    assert told(line) == (0x140, 0xD0, -0x70, "INCONSISTENT")
    assert line.note == f"100 bytes of call 1 at {FIRST:#x}, where no chunk is in use"


def test_a_chunk_that_is_too_small_for_its_piece_is_inconsistent(recorder: Recorder) -> None:
    two_pieces(recorder)
    walked(recorder, 31, (FIRST - 16, 0x60, IN_USE), CHUNKS[2])
    line = line_of(recorder)
    assert line.verdict == "INCONSISTENT"
    assert line.note == f"100 bytes of call 1 at {FIRST:#x}, where is a chunk of 96"


def test_a_chunk_in_use_that_no_call_returned_is_inconsistent(recorder: Recorder) -> None:
    two_pieces(recorder)
    walked(recorder, 31, *CHUNKS, (THIRD - 16, 0x20, IN_USE))
    line = line_of(recorder)
    assert told(line) == (0x140, 0x160, 0x20, "INCONSISTENT")
    assert line.note == f"a chunk of 32 bytes in use at {THIRD:#x}, which no call has returned"


def test_sums_that_agree_do_not_hide_pieces_that_do_not(recorder: Recorder) -> None:
    two_pieces(recorder)
    walked(recorder, 31, CHUNKS[2], (THIRD - 16, 0x70, IN_USE))
    line = line_of(recorder)
    assert told(line) == (0x140, 0x140, 0, "INCONSISTENT")


def test_a_child_has_its_parents_pieces(recorder: Recorder) -> None:
    two_pieces(recorder)
    recorder.note("born", 20, how="fork", child=PID + 6, child_pid=PID + 6, shares=False)
    end(recorder, 22, pid=PID + 6)
    walked(recorder, 23, *CHUNKS, pid=PID + 6)
    walked(recorder, 31, *CHUNKS)
    assert told(line_of(recorder)) == (0x280, 0x280, 0, "COMPLETE")


# ---- what need not agree ------------------------------------------------------------------------------------


def test_calls_that_did_not_return_may_have_taken_chunks(recorder: Recorder) -> None:
    two_pieces(recorder)
    recorder.call("malloc", 24, began=18, ended=19, flags=0, implementation=1)
    walked(recorder, 31, *CHUNKS, (THIRD - 16, 0x20, IN_USE))
    line = line_of(recorder)
    assert told(line) == (0x140, 0x160, 0, "COMPLETE WITH EXCLUSIONS")
    assert reasons(line) == [(32, "chunks of calls that did not return")]


def test_other_allocators_may_have_taken_chunks_for_themselves(recorder: Recorder) -> None:
    two_pieces(recorder)
    recorder.note("allocator", 3, number=2, path="/opt/own_pool.so", is_glibc=False)
    malloc(recorder, 17, MAP + 0x40, 18, implementation=2)
    walked(recorder, 31, *CHUNKS, (THIRD - 16, 0x1010, IN_USE))
    line = line_of(recorder)
    assert told(line) == (0x140, 0x1150, 0, "COMPLETE WITH EXCLUSIONS")
    assert reasons(line) == [(0x1010, "chunks that another allocator of the process took for itself")]


def test_the_loaders_own_pieces_are_no_reason_for_chunks_without_one(recorder: Recorder) -> None:
    two_pieces(recorder)
    recorder.note("allocator", 3, number=2, path="/lib/ld-2.31.so", is_glibc=False)
    recorder.note(
        "image", 3, path="/lib/ld-2.31.so", start=LIBC, end=LIBC + 0x1000, bias=LIBC, build_id="", role="loader",
        bits=64, release="", file=(0, 0, 0, 0),
    )  # fmt: skip
    malloc(recorder, 17, LIBC + 0x2340, 18, implementation=2)
    walked(recorder, 31, *CHUNKS, (THIRD - 16, 0x20, IN_USE))
    assert line_of(recorder).verdict == "INCONSISTENT"


def test_where_the_walk_guessed_chunks_need_no_piece(recorder: Recorder) -> None:
    two_pieces(recorder)
    walked(recorder, 31, *CHUNKS, (THIRD - 16, 0x20, INFERRED))
    line = line_of(recorder)
    assert (line.unexplained, line.verdict) == (0, "COMPLETE WITH EXCLUSIONS")


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"damage": "a chunk of 0x0 bytes cannot be at 0x5581", "findings": 3}, "the heap is damaged: a chunk of 0x0"),
        ({"unread": "pages of it are swapped out"}, "parts of the heap are not known: pages of it are swapped out"),
        ({"locked": True}, "in the midst of a call"),
    ],
)
def test_a_heap_that_is_not_known_whole_makes_nobody_inconsistent(
    recorder: Recorder, fields: dict[str, Any], why: str
) -> None:
    two_pieces(recorder)
    walked(recorder, 31, CHUNKS[2], **fields)
    line = line_of(recorder)
    assert line.verdict == "UNVERIFIABLE"
    assert why in line.note


def test_damage_is_told_where_all_pieces_agree_too(recorder: Recorder) -> None:
    two_pieces(recorder)
    walked(recorder, 31, *CHUNKS, damage="the list is a cycle at 0x5581", findings=3)
    line = line_of(recorder)
    assert line.verdict == "COMPLETE"
    assert line.note == "the heap is damaged: the list is a cycle at 0x5581, and 2 more"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"lost": {"calls": 1}}, "calls were lost"),
        ({"breakpoints": 29, "breakpoints_standing": 28}, "breakpoints were gone"),
        ({"calls_refused": 1}, "could not be watched"),
    ],
)
def test_calls_that_nobody_saw_make_nobody_inconsistent(
    recorder: Recorder, changes: dict[str, Any], why: str
) -> None:  # fmt: skip
    two_pieces(recorder)
    walked(recorder, 31, *CHUNKS, (THIRD - 16, 0x20, IN_USE))
    line = line_of(recorder, **changes)
    assert line.verdict == "UNVERIFIABLE"
    assert why in line.note


def test_a_copy_made_amid_other_threads_calls_is_doubtful(recorder: Recorder) -> None:
    two_pieces(recorder)
    recorder.note("copied", 18, mappings=WHAT_THERE_IS, pages=())
    walked(recorder, 31, CHUNKS[2])
    line = line_of(recorder)
    assert line.verdict == "UNVERIFIABLE"
    assert "forked" in line.note


def test_a_program_that_breaks_the_rules_is_not_judged(recorder: Recorder) -> None:
    two_pieces(recorder)
    recorder.call("free", THIRD, began=18, ended=19, implementation=1)
    walked(recorder, 31, *CHUNKS, (THIRD - 16, 0x20, IN_USE))
    line = line_of(recorder)
    assert line.verdict == "UNVERIFIABLE"
    assert "broke the allocator's rules" in line.note


def test_one_excused_process_excuses_no_other(recorder: Recorder) -> None:
    two_pieces(recorder)
    recorder.note("born", 20, how="fork", child=PID + 6, child_pid=PID + 6, shares=False)
    end(recorder, 22, pid=PID + 6)
    walked(recorder, 23, CHUNKS[1], pid=PID + 6, unread="pages of it are swapped out")
    walked(recorder, 31, CHUNKS[1])
    line = line_of(recorder)
    assert line.verdict == "INCONSISTENT"
    assert "200 bytes of call 2" in line.note


# ---- mappings of their own ----------------------------------------------------------------------------------


def test_a_piece_with_a_mapping_of_its_own_is_whole_pages(recorder: Recorder) -> None:
    begun(recorder)
    malloc(recorder, 200_003, MAP + 16, 10)
    walked(recorder, 31, (MAP, 0x31000, MAPPED), (MAP + 0x40000, 0x23000, MAPPED))
    assert told(line_of(recorder)) == (0x31000, 0x31000, 0, "COMPLETE")


def test_a_mapping_that_no_walk_meets_is_left_out_and_told(recorder: Recorder) -> None:
    two_pieces(recorder)
    malloc(recorder, 200_003, MAP + 0x1010, 18)
    walked(recorder, 31, *CHUNKS)
    line = line_of(recorder)
    assert told(line) == (0x140, 0x140, 0, "COMPLETE")
    assert line.note == "mappings of their own that no walk meets, left out: those of 1 live pieces"


# ---- other allocators, other runs ---------------------------------------------------------------------------


def test_another_allocators_pieces_are_not_looked_for(recorder: Recorder) -> None:
    begun(recorder, is_glibc=False, path="/usr/lib/ld-musl-x86_64.so.1")
    malloc(recorder, 100, FIRST, 10)
    end(recorder, 30)
    recorder.exit(32)
    assert LIVE not in ledger(recorder)


def test_a_preloaded_allocator_leaves_glibcs_heap_alone(recorder: Recorder) -> None:
    begun(recorder)
    recorder.note("allocator", 3, number=2, path="/opt/libjemalloc.so.2", is_glibc=False)
    malloc(recorder, 100, MAP + 0x40, 10, implementation=2)
    walked(recorder, 31, regions=())
    end(recorder, 30)
    recorder.exit(32)
    assert LIVE not in ledger(recorder)


def test_without_an_allocator_there_is_no_line(recorder: Recorder) -> None:
    recorder.start(1)
    end(recorder, 30)
    recorder.exit(31)
    assert LIVE not in ledger(recorder)


def test_a_file_of_chunks_that_is_too_short_costs_that_heap(recorder: Recorder) -> None:
    two_pieces(recorder)
    walked(recorder, 31, *CHUNKS)
    file = recorder.directory / "heaps.bin"
    file.write_bytes(file.read_bytes()[:-16])
    line = line_of(recorder)
    assert line.verdict == "UNVERIFIABLE"
    assert "its chunks are damaged" in line.note
