"""Spools: fixed records, and notes as lines, each written at once."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from observer.files import Folder
from observer.recording.notes import FILE, Gone, MappedFile, Unobserved
from observer.recording.records import INLINE, LAYOUTS, Layout
from observer.recording.spool import NoteFile, Spool, Spools

PAIR = Layout("x", first="u64", second="u64")
ODD = Layout("x", first="u64", second="u64", third="u64")  # 24 bytes do not divide a page


def words(path: Path, layout: Layout) -> list[tuple[int, ...]]:
    return list(layout.packed.iter_unpack(path.read_bytes()))


def test_records_are_numbered_from_one_and_kept_in_order(tmp_path: Path) -> None:
    spool = Spool(Folder.open(tmp_path), PAIR)
    assert [spool.append(10 + i, i) for i in range(3)] == [1, 2, 3]
    spool.file.close()
    assert words(tmp_path / "x", PAIR) == [(10, 0), (11, 1), (12, 2)]


def test_an_empty_spool_is_an_empty_file(tmp_path: Path) -> None:
    Spool(Folder.open(tmp_path), PAIR).file.close()
    assert (tmp_path / "x").read_bytes() == b""


def test_what_was_written_is_in_the_file_before_it_is_closed(tmp_path: Path) -> None:
    spool = Spool(Folder.open(tmp_path), PAIR)
    spool.append(17, 23)
    assert (tmp_path / "x").read_bytes() == PAIR.packed.pack(17, 23)
    spool.file.close()


@contextlib.contextmanager
def no_file_larger_than_a_page() -> Iterator[None]:
    """Let every allocation of file space fail, as on a full disk; only while it lasts, for pytest writes files, too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def test_where_there_is_no_room_records_are_lost_and_the_reason_is_kept(tmp_path: Path) -> None:
    fitting = 4096 // ODD.size  # the next record would fit in part
    with no_file_larger_than_a_page():
        spool = Spool(Folder.open(tmp_path), ODD)
        numbers = [spool.append(1, i, i) for i in range(fitting + 3)]
        spool.file.close()
    assert numbers[-4:] == [fitting, 0, 0, 0]
    assert (spool.count, spool.lost) == (fitting, 3)
    assert isinstance(spool.error, OSError)
    assert (tmp_path / "x").stat().st_size == fitting * ODD.size


def test_records_that_come_together_are_written_all_or_not_at_all(tmp_path: Path) -> None:
    spool = Spool(Folder.open(tmp_path), PAIR)
    some = np.array([(i, -i) for i in range(1, 101)], dtype="<i8,<i8").view(PAIR.dtype)
    with no_file_larger_than_a_page():
        numbers = [spool.append_all(some), spool.append(9, 9), spool.append_all(some), spool.append_all(some)]
    assert numbers == [1, 101, 102, 0]  # 16 bytes each, of 4,096
    assert (spool.count, spool.lost) == (201, 100)
    spool.file.close()
    assert (tmp_path / "x").stat().st_size == 201 * PAIR.size


def test_where_there_is_no_room_for_the_records_of_a_thread_no_head_of_theirs_is_left(tmp_path: Path) -> None:
    spools = Spools(Folder.make(tmp_path / "spool", 0o700))
    fitting = np.ones(4096 // INLINE.size - 3, dtype=INLINE.dtype)  # and room for the next head
    with no_file_larger_than_a_page():
        for records in (fitting, fitting, fitting):
            spools.inline.append_of(3, 5, records, len(records))
        size = (tmp_path / "spool" / INLINE.file).stat().st_size
    assert (spools.inline.count, spools.inline.lost) == (len(fitting), 2 * len(fitting))
    assert size == (1 + len(fitting)) * INLINE.size == spools.inline.file.size
    spools.close()


@pytest.mark.parametrize("harm", ["truncate", "lengthen", "replace", "remove", "link"])
def test_a_file_that_somebody_else_changed_is_known(tmp_path: Path, harm: str) -> None:
    spool = Spool(Folder.open(tmp_path), PAIR)
    spool.append(1, 2)
    assert spool.file.is_as_written()
    path = tmp_path / "x"
    if harm in ("replace", "remove", "link"):
        path.rename(tmp_path / "y")
    if harm == "truncate":
        os.truncate(path, 0)
    elif harm == "lengthen":
        path.write_bytes(bytes(40))
    elif harm == "replace":
        path.write_bytes(PAIR.packed.pack(1, 2))
    elif harm == "link":
        path.symlink_to("y")
    assert not spool.file.is_as_written()
    spool.append(3, 4)
    assert not spool.file.is_as_written()
    spool.file.close()


def test_notes_that_do_not_fit_are_counted_as_lost(tmp_path: Path) -> None:
    with no_file_larger_than_a_page():
        notes = NoteFile(Folder.open(tmp_path))
        for i in range(3):
            notes.append(Unobserved(pid=1, t=1 + i, path="/bin/still", why="x" * 3000))
        notes.file.close()
    assert (notes.lost, isinstance(notes.error, OSError)) == (2, True)


def test_a_spool_never_follows_or_replaces_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"kept")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / FILE).symlink_to(tmp_path / "elsewhere")
    for name in ("there", "link"):
        with pytest.raises(FileExistsError):
            Spool(Folder.open(tmp_path), Layout(name, first="u64"))
    with pytest.raises(FileExistsError):
        NoteFile(Folder.open(tmp_path))
    assert (tmp_path / "there").read_bytes() == b"kept"
    assert not (tmp_path / "elsewhere").exists()


def test_only_their_owner_may_read_spools(tmp_path: Path) -> None:
    spools = Spools(Folder.make(tmp_path / "spool", 0o700))
    spools.close()
    modes = {path.name: path.stat().st_mode & 0o777 for path in [tmp_path / "spool", *(tmp_path / "spool").iterdir()]}
    assert modes == {
        "spool": 0o700, "calls.bin": 0o600, "inline.bin": 0o600, "clock.bin": 0o600, "syscalls.bin": 0o600, "library.bin": 0o600, "arguments.bin": 0o600, "stacks.bin": 0o600,
        "callers.bin": 0o600,
        "notes.jsonl": 0o600,
    }  # fmt: skip


def test_what_there_is_by_now_is_counted_in_records_and_bytes(tmp_path: Path) -> None:
    spools = Spools(Folder.make(tmp_path / "spool", 0o700))
    assert (spools.recorded, spools.written) == (0, 0)
    spools.calls.append(*range(1, 16))
    spools.inline.append_of(3, 5, np.ones(2, dtype=INLINE.dtype), 2)
    spools.syscalls.append(*range(1, 19))
    spools.into_libraries.append(*range(1, 11))
    spools.stacks.append(1, 2, 3, 4, b"x")
    spools.callers.append(1, 2, 3, 4, b"x")
    spools.close()
    sizes = sum(path.stat().st_size for path in (tmp_path / "spool").iterdir())
    assert (spools.recorded, spools.written) == (5, sizes)
    assert spools.lost() == {"calls": 0, "syscalls": 0, "library": 0, "arguments": 0, "notes": 0}
    assert spools.error() is None


def test_records_are_as_long_as_the_fields_they_are_read_with(tmp_path: Path) -> None:
    spools = Spools(Folder.make(tmp_path / "spool", 0o700))
    spools.calls.append(*range(1, 16))
    spools.inline.append_of(3, 5, np.ones(2, dtype=INLINE.dtype), 2)
    spools.clock.append(1, 2)
    spools.syscalls.append(*range(1, 19))
    spools.into_libraries.append(*range(1, 11))
    spools.arguments.append(1, 2, 3, 4, b"x")
    spools.stacks.append(1, 2, 3, 4, b"x")
    spools.callers.append(1, 2, 3, 4, b"x")
    spools.close()
    sizes = {layout.file: (tmp_path / "spool" / layout.file).stat().st_size for layout in LAYOUTS}
    head_too = {INLINE.file: 3 * INLINE.size}
    assert sizes == {layout.file: layout.dtype.itemsize for layout in LAYOUTS} | head_too


VERSION_LINE = re.compile(r'{"what":"layouts","t":[1-9][0-9]*,"version":5}')


def test_notes_are_lines_of_json(tmp_path: Path) -> None:
    notes = NoteFile(Folder.open(tmp_path))
    notes.append(MappedFile(pid=1, t=5, start=17, length=23, path='a "quoted"\nname'))
    notes.append(Gone(pid=1, tid=3, t=7, status=0))
    notes.file.close()
    first, *lines = (tmp_path / FILE).read_text(encoding="utf-8").splitlines()
    assert VERSION_LINE.fullmatch(first)
    assert lines == [
        r'{"what":"file","t":5,"pid":1,"start":17,"length":23,"path":"a \"quoted\"\nname"}',
        '{"what":"gone","t":7,"pid":1,"tid":3,"status":0}',
    ]


def test_where_nothing_was_noted_the_file_is_empty(tmp_path: Path) -> None:
    NoteFile(Folder.open(tmp_path)).file.close()
    assert (tmp_path / FILE).read_bytes() == b""


def test_a_name_that_is_no_text_can_be_noted(tmp_path: Path) -> None:
    notes = NoteFile(Folder.open(tmp_path))
    notes.append(MappedFile(pid=1, t=5, start=17, length=23, path=os.fsdecode(b"/tmp/\xff")))
    notes.file.close()
    assert notes.lost == 0
    assert (tmp_path / FILE).read_text(encoding="utf-8").endswith(r'"path":"/tmp/\\xff"}' + "\n")
