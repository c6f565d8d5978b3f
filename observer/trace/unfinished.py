"""A trace that is still to be made of its records: how it begins, and how it is left for later."""

from __future__ import annotations

import os
from collections.abc import Sequence

import msgspec

from observer.errors import BadTrace, remedy_for
from observer.files import Folder
from observer.instruments.session import Recording
from observer.model.machine import SCHEMA, Machine, Meta, Outcome, Request
from observer.model.signals import name_of_signal
from observer.recording.notes import Note, Released
from observer.recording.text import to_json
from observer.trace.layout import META, SPOOL
from observer.trace.losses import losses, stored_line
from observer.trace.spooled import read_notes_alone

__all__ = ["begin", "outcome_of", "put_off", "write_meta"]


def begin(folder: Folder, machine: Machine, request: Request) -> None:
    """Write the first meta.json, which says that the run was cut off: true until `finish` says otherwise."""
    outcome = Outcome(status=None, signal=None, ended="cut off")
    write_meta(folder, Meta(schema=SCHEMA, machine=machine, request=request, outcome=outcome))


def put_off(folder: Folder, machine: Machine, request: Request, recording: Recording) -> Meta:
    """Leave a run that came to its end as it was recorded, for `recover` to finish; return its meta for now.

    Its ledger judges nothing, but for records that are known to be missing: whoever finishes it cannot bring them back.

    Raises:
        BadTrace: meta.json cannot be written.
    """
    outcome = outcome_of(recording, read_notes_alone(folder.folder(SPOOL)))
    lost = losses(recording.lost, recording.totals)
    stored = recording.totals["calls"] + recording.totals["syscalls"]
    meta = Meta(
        schema=SCHEMA, machine=machine, request=request, outcome=outcome, notes=tuple(recording.notes),
        ledger=(stored_line(stored, stored, lost),) if any(lost.values()) else (),
    )  # fmt: skip
    write_meta(folder, meta)
    return meta


def outcome_of(recording: Recording | None, notes: Sequence[Note], last_ns: int = 0) -> Outcome:
    """Return how a run ended, by its *recording*, None if it was cut off, and its *notes*.

    Args:
        last_ns: when its last event began.
    """
    if recording is None:
        return Outcome(status=None, signal=None, ended="cut off", seconds=last_ns / 1e9)
    outcome = Outcome(
        status=_exit_status(recording.status), signal=_signal_name(recording.status), ended=_ended(recording),
        seconds=recording.seconds,
    )  # fmt: skip
    closed = next((note for note in notes if isinstance(note, Released) and note.how != "unfollowed"), None)
    if closed is None:
        return outcome
    first = min(note.t for note in notes)
    closed_at = {"closed": closed.why, "recorded": (closed.t - first) / 1e9}
    as_stopped = {"status": None, "signal": None, "ended": "stopped"} if closed.how == "stopped" else {}
    return msgspec.structs.replace(outcome, **closed_at, **as_stopped)


def write_meta(folder: Folder, meta: Meta) -> None:
    """Write meta.json, whole or not at all; raises BadTrace when that is not possible."""
    try:
        folder.replace(META, msgspec.json.format(to_json(meta), indent=1))
    except OSError as error:
        what = f"cannot write {folder.path / META}"
        raise BadTrace(
            what, error.strerror or str(error), remedy_for(error, "-o with a folder you may write")
        ) from error


def _exit_status(status: int | None) -> int | None:
    return os.WEXITSTATUS(status) if status is not None and os.WIFEXITED(status) else None


def _signal_name(status: int | None) -> str | None:
    if status is None or not os.WIFSIGNALED(status):
        return None
    return name_of_signal(os.WTERMSIG(status))


def _ended(recording: Recording) -> str:
    return "killed" if recording.status is not None and os.WIFSIGNALED(recording.status) else "exit"
