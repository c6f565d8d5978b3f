"""Address space: asked for before anything is done, since who finds too little of it in between ends the process."""

from __future__ import annotations

import resource
from typing import Final

__all__ = ["OF_DRAWING", "ask_for_address_space"]

_OF_LIBRARIES: Final = 3 << 29
"""Bytes that numpy and DuckDB take; most of it is only reserved: threads' stacks and arenas."""

OF_DRAWING: Final = 72 << 30
"""Bytes that a picture takes: V8, which draws it, reserves 64 GiB (its sandbox) whatever it then uses."""


def ask_for_address_space(needed: int = _OF_LIBRARIES) -> None:
    """Raise ObserverError where the process may not have as many bytes of address space (setrlimit(2)) as *needed*."""
    from observer.errors import ObserverError

    soft, _hard = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY and soft < needed:
        why = f"ulimit -v is {soft >> 10}, and it needs {needed >> 10}"
        raise ObserverError("cannot work in so little address space", why, "ulimit -v unlimited")
