"""A run recorded: the wish, the folder, the instruments, the records that a trace is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from pathlib import Path
from typing import Final

from observer.errors import BadTrace, remedy_for
from observer.files import Folder
from observer.instruments.session import Recording, Wish, told_to_nobody
from observer.instruments.session import record as run_instruments
from observer.model.filenames import as_text
from observer.model.machine import Machine, Meta, Request
from observer.model.reached import text_of_place
from observer.recording.spool import Spools
from observer.trace.kept import Kept
from observer.trace.layout import SPOOL
from observer.trace.machine import describe_machine
from observer.trace.place import new_folder
from observer.trace.unfinished import begin, put_off
from observer.tracee.launch import find_program

__all__ = ["record_only", "recorded", "request_of"]

_ASLR: Final = {True: "on", False: "off", None: "as the system has it"}
_READ_BY_LOADER: Final = ("GLIBC_TUNABLES", "MALLOC_", "LD_")
"""How the variables begin that the loader and the allocator read."""


def request_of(wish: Wish, directory: Path, *, allow_loss: bool = False) -> Request:
    """Return *wish* as meta.json keeps it: of the environment, what the loader and the allocator read."""
    kept = {name: as_text(value) for name, value in wish.environment.items() if name.startswith(_READ_BY_LOADER)}
    syscalls = wish.selection.syscalls
    return Request(
        command=tuple(map(as_text, wish.argv)), directory=as_text(_absolute(directory)),
        expression=wish.selection.text, syscalls=None if syscalls is None else tuple(sorted(syscalls)),
        instruments=tuple(sorted(wish.selection.instruments)), recorder=wish.recorder, stack=wish.callers,
        max_events=wish.max_events, stop_after=wish.stop_after, allow_loss=allow_loss,
        aslr=_ASLR[wish.randomize], environment=kept, snapshots=tuple(map(str, wish.snapshots)),
        malloc_functions=dict(wish.malloc_functions), through=wish.through,
        begin_at=text_of_place(wish.begin_at) if wish.begin_at is not None else "",
        end_at=text_of_place(wish.end_at) if wish.end_at is not None else "", follow=wish.follow,
    )  # fmt: skip


def _absolute(directory: Path) -> str:
    """Return the absolute path to *directory*; as it was given where there is no working directory any more."""
    try:
        return str(directory.absolute())
    except FileNotFoundError:
        return str(directory)


def recorded(
    wish: Wish, directory: Path, replacing: Callable[[], None] | None, told: Callable[[int, int], None], *,
    allow_loss: bool,
) -> tuple[Folder, Machine, Request, Recording]:  # fmt: skip
    """Run the program and leave its records in *directory*; return what a trace is made of.

    Args, and what is raised: as for `record.record_run`.
    """
    find_program(wish.argv[0], wish.environment)
    machine, request = describe_machine(), request_of(wish, directory, allow_loss=allow_loss)
    with new_folder(directory, replacing) as folder:
        begin(folder, machine, request)
        return folder, machine, request, _record(wish, folder, told)


def record_only(
    wish: Wish, directory: Path, *, allow_loss: bool = False, replacing: Callable[[], None] | None = None,
    while_recording: Callable[[int, int], None] = told_to_nobody,
    while_finishing: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Meta:  # fmt: skip
    """Run the program and leave in *directory* what `Trace.open` will finish; return its meta.json for now.

    Args, and what is raised: as for `record.record_run`.
    """
    made_of = recorded(wish, directory, replacing, while_recording, allow_loss=allow_loss)
    with while_finishing():
        return put_off(*made_of)


def _record(wish: Wish, folder: Folder, told: Callable[[int, int], None]) -> Recording:
    with ExitStack() as opened:  # closed at once: where descriptors are few, clearing away needs some
        with _explained(folder):
            spool = opened.enter_context(closing(folder.make_folder(SPOOL)))
            kept = opened.enter_context(closing(Kept(spool)))
        recording = _into_spools(wish, spool, told)
        with _explained(folder):
            kept.write(recording)
        kept.refuse_changes(folder, recording)
    return recording


def _into_spools(wish: Wish, folder: Folder, told: Callable[[int, int], None]) -> Recording:
    """Run the program and leave its records in the empty *folder*."""
    with _explained(folder):
        spools = Spools(folder)
    with closing(spools):
        recording = run_instruments(wish, spools, folder, told)
        recording.changed += spools.changed()
    recording.totals |= {"calls": spools.calls.count + spools.inline.count, "syscalls": spools.syscalls.count}
    recording.lost = spools.lost()
    error_seen = spools.error()
    if error_seen is not None:
        recording.notes.append(f"recording stopped: {error_seen.strerror}")
    return recording


@contextmanager
def _explained(folder: Folder) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        remedy = remedy_for(error, "-o with a folder you may write")
        raise BadTrace(f"cannot write {folder.path}", error.strerror or str(error), remedy) from error
