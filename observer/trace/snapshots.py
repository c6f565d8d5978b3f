"""Snapshots of heaps in the midst of a run: beside the live pieces of that moment, and as a table of the trace."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from observer.errors import BadTrace
from observer.files import Folder
from observer.model.chunks import STATES, Chunk
from observer.model.filenames import typed
from observer.model.snapshots import HeapSnapshot
from observer.recording.chunks import in_use
from observer.recording.notes import Snapped
from observer.recording.records import NO_BIN
from observer.trace.database import database
from observer.trace.heaps import Beside, compared
from observer.trace.layout import SNAPSHOTS
from observer.trace.process import ProcessState

__all__ = ["Taken", "as_taken", "notes_of", "read_chunks", "write_snapshots"]

_COLUMNS: Final = {
    "n": "bigint", "t_ns": "bigint", "pid": "bigint", "tid": "bigint", "address": "ubigint", "size": "ubigint",
    "state": "varchar", "arena": "bigint", "bin": "bigint",
}  # fmt: skip
_MOST: Final = 1 << 24
_MOST_NAMED: Final = 12
_FIXED: Final = ", ".join(f"cast({name} as {type_}) as {name}" for name, type_ in _COLUMNS.items())
_STATES: Final = "[" + ", ".join(f"'{state}'" for state in STATES) + "]"


class Taken(NamedTuple):
    """A snapshot, its chunks as SNAPSHOT_CHUNKs, and what its heap comes to by the walk and by the calls."""

    snapshot: HeapSnapshot
    chunks: npt.NDArray[Any]
    beside: Beside


def as_taken(
    note: Snapped, chunks: npt.NDArray[Any], state: ProcessState, *, n: int, start: int, under_way: int
) -> Taken:  # fmt: skip
    """Return the snapshot of a *note*, its process in this *state* as call *n* returned; times count from *start*.

    *under_way* calls of the process had not returned.
    """
    snapshot = HeapSnapshot(
        n=n, t_ns=note.t - start, pid=note.pid, tid=note.tid, when=note.when, chunks=len(chunks), damage=note.damage,
        findings=note.findings, unread=note.unread, others=note.others, under_way=under_way,
    )  # fmt: skip
    return Taken(snapshot, chunks, compared(note, in_use(chunks), state, under_way=under_way))


def notes_of(taken: Sequence[Taken]) -> list[str]:
    """Say in the run's notes after which events there are snapshots."""
    if not taken:
        return []
    named = ", ".join(f"{each.snapshot.n:,}" for each in taken[:_MOST_NAMED])
    more = f" and {len(taken) - _MOST_NAMED:,} more" if len(taken) > _MOST_NAMED else ""
    return [f"snapshots of heaps: {len(taken):,}, after the calls {named}{more} (observer show --heap --at N)"]


def write_snapshots(folder: Folder, taken: Sequence[Taken]) -> None:
    """Write the chunks of all snapshots as a table, a row each, in the order of n and as the walks met them.

    Raises:
        BadTrace: it cannot be written.
    """
    what = f"cannot write {SNAPSHOTS} of {folder.path}"
    with (
        database(what, f"observer show {typed(folder.path)} tries again") as connection,
        folder.replacing(SNAPSHOTS) as file,
    ):
        connection.execute("set threads = 1")  # more would hand rows out in another order
        connection.register("rows", _rows(taken))
        query = f"""select {_FIXED} from (
            select n, t_ns, pid, tid, address, size, {_STATES}[state + 1] as state, arena, nullif(bin, {NO_BIN}) as bin
            from rows)"""
        how = "format parquet, compression zstd, use_tmp_file false"
        connection.execute(f"copy ({query}) to '/proc/self/fd/{file.fileno()}' ({how})")


def _rows(taken: Sequence[Taken]) -> dict[str, npt.NDArray[Any]]:
    counts = [len(each.chunks) for each in taken]
    rows = {
        name: np.repeat(np.array([getattr(each.snapshot, name) for each in taken], dtype=np.int64), counts)
        for name in ("n", "t_ns", "pid", "tid")
    }
    for name in ("address", "size", "state", "arena", "bin"):
        rows[name] = np.concatenate([each.chunks[name] for each in taken])
    return rows


def read_chunks(folder: Folder, snapshot: HeapSnapshot) -> Iterator[Chunk]:
    """Yield the chunks of a *snapshot* of the trace in *folder*, in the order of their addresses.

    Raises:
        BadTrace: the table is missing, or has other rows than were written.
    """
    try:
        file = folder.file(SNAPSHOTS)
    except OSError as error:
        raise BadTrace(f"cannot read {SNAPSHOTS} of {folder.path}", error.strerror or "", "record it again") from error
    with database(f"cannot read {SNAPSHOTS} of {folder.path}", "record the program again") as connection:
        query = f"select {_FIXED} from read_parquet(?) where n = ? order by address limit {_MOST}"
        rows = connection.execute(query, [file.path, snapshot.n]).fetchall()
    if len(rows) != snapshot.chunks or any(map(_is_odd, rows)):
        why = f"it has other chunks after call {snapshot.n:,} than were read there"
        raise BadTrace(f"{SNAPSHOTS} of {folder.path} is damaged", why, "record the program again")
    for _n, _t, _pid, _tid, address, size, state, arena, bin_ in rows:
        yield Chunk(address, size, state, arena, bin_)


def _is_odd(row: tuple[Any, ...]) -> bool:
    """Whether a row is none that can have been written."""
    *_, address, size, state, arena, bin_ = row
    return None in (address, size, arena) or state not in STATES or arena < 0 or (bin_ is not None and bin_ < 0)
