"""Notes: what a writer makes is what a reader gets, and a line that is none is counted."""

from __future__ import annotations

import msgspec
import pytest

from observer.model.addresses import Mapping
from observer.recording.note_lines import read_notes
from observer.recording.notes import (
    KINDS,
    Born,
    Copied,
    End,
    Exec,
    Gone,
    Interval,
    MappedFile,
    MappedImage,
    Note,
    Populated,
    Region,
    Released,
    Rings,
    Signalled,
)

PAGE = 4096
MAP = 0x7F12_3456_7000
PRIVATE = Mapping(MAP, MAP + PAGE, "rw-", "/x", 17, True, 23)
VSYSCALL = Mapping(0xFFFF_FFFF_FF60_0000, 0xFFFF_FFFF_FF60_1000, "--x", "[vsyscall]")
NOTES = (
    Exec(
        pid=17, tid=17, t=3, path="/bin/x", former=17, first=True, minor=5, major=7, break_start=PAGE,
        mappings=(PRIVATE,), environment={"LD_PRELOAD": "/lib/libother.so.1"},
    ),
    Born(pid=17, tid=19, t=5, how="vfork", child=23, child_pid=23, shares=True),
    Copied(pid=23, t=7, mappings=(PRIVATE,), pages=((MAP // PAGE, 11),)),
    End(
        pid=17, t=11, path="/bin/x", frames=((MAP, 3, 8),), mappings=(PRIVATE,), resident={MAP: 5 * PAGE},
        rss={"resident": 7 * PAGE}, break_start=PAGE,
    ),
    MappedImage(
        pid=17, t=13, path="/lib/libc.so.6", start=MAP, end=MAP + PAGE, bias=-PAGE, build_id="c0ffee", role="libc",
        bits=32, release="2.36", file=(1, 2, 3, 5),
    ),
    Region(pid=17, t=17, start=MAP, end=MAP + PAGE, mappings=(PRIVATE, PRIVATE)),
    Signalled(
        pid=17, tid=19, t=19, signal="SIGSEGV", code=1, address=(1 << 64) - 1, ip=0, sp=MAP, cs=0x33, stack=0,
        behind="", bytes="cc90", in_call=False, reason=None, access="write",
    ),
    Interval(pid=17, tid=19, t=23, count=3, pages=()),
    Rings(t=29, major_ids=(31, 37)),
    Populated(pid=17, tid=19, t=31, end=37, caller=23, number=59, faults=-3),
    Released(pid=17, tid=19, t=41, why="--max-events 5", how="stopped", exiting=False, minor=3, major=5),
)  # fmt: skip
GONE = Gone(pid=1, tid=1, t=5, status=0)


def lines(*notes: Note) -> list[bytes]:
    return [msgspec.json.encode(note) + b"\n" for note in notes]


def changed(note: Note, **fields: object) -> bytes:
    """The line of *note* with some fields of other values; `...` leaves one out."""
    plain = {**msgspec.to_builtins(note), **fields}
    return msgspec.json.encode({name: value for name, value in plain.items() if value is not ...}) + b"\n"


def test_what_is_noted_is_read() -> None:
    assert read_notes(lines(*NOTES)) == (list(NOTES), 0)


def test_a_line_begins_with_its_kind_and_its_time() -> None:
    assert lines(GONE) == [b'{"what":"gone","t":5,"pid":1,"tid":1,"status":0}\n']
    assert all(line.startswith(b'{"what":"%b","t":' % what.encode()) for line, what in zip(
        lines(*NOTES), ("exec", "born", "copied", "end", "image", "region", "signal", "interval", "rings", "populated", "released"), strict=True
    ))  # fmt: skip


def test_every_kind_says_when() -> None:
    assert [what for what, kind in KINDS.items() if "t" not in kind.__struct_fields__] == []
    assert len(KINDS) == 27


def test_a_note_is_read_with_what_a_later_observer_adds_and_in_any_order() -> None:
    line = b'{"status":0,"of":[{"later":1}],"t":5,"tid":1,"pid":1,"what":"gone"}\n'
    assert read_notes([line]) == ([GONE], 0)


def test_an_environment_that_was_not_read_is_none() -> None:
    [note], odd = read_notes([changed(NOTES[0], environment=...)])
    assert (note.environment, odd) == (None, 0)


@pytest.mark.parametrize(
    "line",
    [
        changed(GONE, what="went"), changed(GONE, what=...), changed(GONE, what=None), changed(GONE, status=...),
        changed(GONE, t=0), changed(GONE, t=1 << 62), changed(GONE, pid=-1), changed(GONE, pid=1 << 31),
        changed(GONE, status=True), changed(GONE, status=1.0), changed(GONE, status="0"),
        changed(NOTES[1], how="spawn"), changed(NOTES[1], how="fork\n"), changed(NOTES[1], shares=1),
        changed(NOTES[2], mappings=[]), changed(NOTES[2], pages=[[0, 0]]), changed(NOTES[2], pages=[[0, 1 << 25]]),
        changed(NOTES[2], pages=[[1 << 53, 1]]), changed(NOTES[2], pages=[[0, 1, 2]]), changed(NOTES[2], mappings=[{}]),
        changed(NOTES[3], resident={"heap": 1}), changed(NOTES[3], frames=[[-1, 1, 0]]), changed(NOTES[3], rss={"x": -1}),
        changed(NOTES[2], mappings=[{**msgspec.to_builtins(PRIVATE), "start": -PAGE}]),
        changed(NOTES[3], mappings=[{**msgspec.to_builtins(PRIVATE), "end": -1}]), changed(NOTES[0], break_start=1 << 63),
        changed(NOTES[5], start=1 << 63), changed(NOTES[4], start=1 << 63),
        changed(NOTES[3], frames=[[1 << 63, 1, 0]]), changed(NOTES[9], faults=1 << 62), changed(NOTES[9], caller=...),
        changed(NOTES[4], bits=16), changed(NOTES[4], bits=33), changed(NOTES[4], file=[1, 2, 3]),
        changed(NOTES[6], bytes="9"), changed(NOTES[6], behind="zz"), changed(NOTES[6], signal=""),
        changed(NOTES[0], path="x" * ((1 << 16) + 1)), changed(NOTES[0], mappings=None),
    ],
)  # fmt: skip
def test_a_line_of_another_shape_is_no_note(line: bytes) -> None:
    assert read_notes([line]) == ([], 1)


@pytest.mark.parametrize(
    "line",
    [
        b'{"what":"detached","pid":1,"t":5,"address":18446744073709551616}\n',
        b'{"what":"image","pid":1,"t":5,"path":"","start":0,"end":1,"bias":-9223372036854775809,"build_id":"","role":"",'
        b'"bits":64,"release":"","file":[0,0,0,0]}\n',
        b'{"what":"end","pid":1,"t":5,"path":"","frames":[],"mappings":[],"resident":{"99999999999999999999":1},"rss":{},'
        b'"break_start":0}\n',
    ],
)  # fmt: skip
def test_a_number_of_more_than_64_bits_is_no_word(line: bytes) -> None:
    assert read_notes([line]) == ([], 1)


@pytest.mark.parametrize(
    "line",
    [
        b"\n", b"null\n", b"7\n", b"[]\n", b"{}\n", b"[" * 99_999 + b"\n", b'{"what":"gone","x":' + b"[" * 99_999 + b"\n",
        b'{"what":"file","pid":1,"t":5,"start":0,"length":1,"path":"\xff"}\n',
        b'{"what":"file","pid":1,"t":5,"start":0,"length":1,"path":"\\ud800"}\n', b"\x00\x00\n", b"\xff\xfe\n",
    ],
)  # fmt: skip
def test_a_line_that_is_no_object_of_ours_is_counted_between_others(line: bytes) -> None:
    assert read_notes([*lines(GONE), line, *lines(GONE)]) == ([GONE, GONE], 1)


def test_the_end_of_a_line_that_was_being_written_is_no_loss() -> None:
    whole = lines(MappedFile(pid=1, t=5, start=17, length=23, path="/x"))[0]
    assert [read_notes([*lines(GONE), whole[:end]]) for end in (1, 17, len(whole) - 2)] == [([GONE], 0)] * 3


def test_all_that_is_mapped_ends_where_the_vsyscall_page_does() -> None:
    whole = Region(pid=17, t=17, start=0, end=VSYSCALL.end, mappings=(PRIVATE, VSYSCALL))
    assert whole.end > 1 << 63
    assert read_notes(lines(whole)) == ([whole], 0)
