"""Where each allocation of a recorded run came from: the model of its C library is asked."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Final

from observer.compare.served_by import served_by
from observer.model.machine import Meta
from observer.runs.models import WORD_BITS, exact_model_if_known
from observer.trace.reader import Trace
from observer.trace.sources import add_sources

__all__ = ["with_sources"]

_FOLLOWED: Final = frozenset({"brk", "mmap", "munmap", "mremap", "mprotect", "madvise"})
"""The system calls that the allocator makes."""
_READ: Final = frozenset({"call", "syscall", "process"})


def with_sources(
    meta: Meta, directory: Path, while_working: Callable[[], AbstractContextManager[object]] = nullcontext
) -> Meta:
    """Fill in `served_by` of the run in *directory*, if its C library has an exact model; return the new meta.json.

    Args:
        meta: the run's meta.json; returned as it is where there is no model, or too little was recorded to follow it.
        while_working: entered while the model is asked.

    Raises:
        BadTrace: the trace cannot be read or written.
    """
    model = exact_model_if_known(meta) if _can_be_followed(meta) else None
    if model is None:
        return meta
    with while_working():
        trace = Trace.open(directory)
        how = f"inferred: by the model of glibc {model.version}, as long as it gives every pointer exactly"
        return add_sources(trace, served_by(trace.events(_READ), model), how)


def _can_be_followed(meta: Meta) -> bool:
    request = meta.request
    sees_growth = request.syscalls is None or set(request.syscalls) >= _FOLLOWED
    # Pieces of a program for i386 have other sizes and lie in other places.
    return "calls" in request.instruments and sees_growth and meta.machine.program_bits == WORD_BITS
