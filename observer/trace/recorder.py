"""A whole run recorded: the request made, the folder, the instruments, the finished trace."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from observer.errors import BadTrace, remedy_for
from observer.files import Folder
from observer.instruments.session import Recording, Wish
from observer.model.filenames import as_text
from observer.model.machine import Machine, Meta, Request
from observer.model.selection import Selection
from observer.trace.database import close_database
from observer.trace.finish import begin, finish
from observer.trace.kept import Kept
from observer.trace.layout import SPOOL
from observer.trace.place import new_folder
from observer.trace.record import record
from observer.tracee.launch import find_program

__all__ = ["Order", "record_run"]


@dataclass(frozen=True, slots=True)
class Order:
    """What to record: the program's words and environment, the instruments, and how it is to be run.

    `aslr` is `on`, `off` or None (as the system has it); `huge_pages` False keeps transparent huge pages away.
    """

    words: tuple[str, ...]
    environment: Mapping[str, str]
    selection: Selection
    stack: int = 512
    max_events: int | None = None
    allow_loss: bool = False
    aslr: str | None = None
    huge_pages: bool = True

    def wish(self) -> Wish:
        """Return it as the instruments take it."""
        return Wish(
            argv=self.words, environment=dict(self.environment), selection=self.selection, stack_bytes=self.stack,
            randomize={"on": True, "off": False, None: None}[self.aslr], max_events=self.max_events,
            huge_pages=self.huge_pages,
        )  # fmt: skip

    def request(self, directory: Path) -> Request:
        """Return it as meta.json keeps it."""
        kept = {
            name: as_text(value)
            for name, value in self.environment.items()
            if name.startswith(("GLIBC_TUNABLES", "MALLOC_", "LD_"))
        }
        syscalls = self.selection.syscalls
        return Request(
            command=tuple(map(as_text, self.words)), directory=as_text(str(directory.absolute())),
            expression=self.selection.text, syscalls=None if syscalls is None else tuple(sorted(syscalls)),
            instruments=tuple(sorted(self.selection.instruments)), recorder="breakpoint", stack=self.stack,
            max_events=self.max_events, allow_loss=self.allow_loss, aslr=self.aslr or "as the system has it",
            environment=kept,
        )  # fmt: skip


def record_run(
    order: Order, directory: Path, machine: Machine, *, replacing: Callable[[], None] | None = None,
    while_finishing: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Meta:  # fmt: skip
    """Run the program and leave its finished trace in *directory*.

    Args:
        replacing: called when an older trace in *directory* has given way; None: whatever is there is refused.

    Raises:
        BadTrace: the folder exists, cannot be written, was changed by somebody else while the program ran, or its
            records cannot be made into a trace; then they stay, for `Trace.open` to try again.
        CannotLaunch, CannotObserve: as `instruments.session.record`; then no folder is left.
        KeyboardInterrupt: the user interrupted what is done after the program's end; `Trace.open` can do it again.
    """
    find_program(order.words[0], order.environment)
    close_database()
    request = order.request(directory)
    with new_folder(directory, replacing) as folder:
        begin(folder, machine, request)
        recording = _record(order, folder)
    with while_finishing():
        return finish(folder, machine, request, recording)


def _record(order: Order, folder: Folder) -> Recording:
    with ExitStack() as opened:  # closed at once: where descriptors are few, clearing away needs some
        with _explained(folder):
            spool = opened.enter_context(closing(folder.make_folder(SPOOL)))
            kept = opened.enter_context(closing(Kept(spool)))
        recording = record(order.wish(), spool)
        with _explained(folder):
            kept.write(recording)
        kept.refuse_changes(folder, recording)
    return recording


@contextmanager
def _explained(folder: Folder) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        remedy = remedy_for(error, "-o with a folder you may write")
        raise BadTrace(f"cannot write {folder.path}", error.strerror or str(error), remedy) from error
