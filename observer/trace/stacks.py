"""The stacks of calls: each different one named and numbered once, and kept as a table of the trace."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from observer.errors import BadTrace
from observer.files import Folder
from observer.instruments.places import CodeMap
from observer.model.events import Site
from observer.model.filenames import typed
from observer.model.stacks import CallStack
from observer.recording.records import MOST_CALLERS, WHOLE
from observer.trace.columns import LONGEST, SiteTable, objects
from observer.trace.database import database
from observer.trace.layout import STACKS
from observer.trace.schema import SITE
from observer.trace.spooled import Stacks

__all__ = ["KnownStacks", "StackTable", "read_stacks", "write_stacks"]

_COLUMNS: Final = {"stack": "bigint", "depth": "bigint", "address": "ubigint", "site": SITE, "whole": "boolean"}
_FIXED: Final = ", ".join(f'cast("{name}" as {type_}) as "{name}"' for name, type_ in _COLUMNS.items())
_PLACE: Final = """{'function': "function", 'file': file, 'line': nullif(line, 0), 'module': module,
    'offset': "offset"}"""
_AGAIN: Final = "record the program again"
_BATCH: Final = 4096


class _Stack(NamedTuple):
    addresses: tuple[int, ...]
    sites: tuple[int, ...]
    is_whole: bool


class StackTable:
    """All stacks of a run, numbered from 1, found by the numbers of its *callers*; places are those of *sites*."""

    def __init__(self, sites: SiteTable, callers: Stacks) -> None:
        self._sites, self._callers = sites, callers
        self._numbers: dict[_Stack, int] = {}

    def find(self, number: int, code: CodeMap) -> tuple[int, int]:
        """Return the number of the stack that the callers with a *number* are in this *code*, and that of the place
        which is told; 0 for one that there is not.
        """
        if not 0 < number <= len(self._callers):
            return 0, 0
        _time, told, count, flags, data = self._callers[number - 1]
        addresses = np.frombuffer(data, dtype=np.uint64)[:count].tolist()
        sites = [self._sites.number(code.caller(back)[1]) for back in addresses]
        stack = _Stack(tuple(addresses), tuple(sites), flags & WHOLE != 0)
        place = self._sites.number(code.caller(told)[1]) if told else 0
        return self._numbers.setdefault(stack, len(self._numbers) + 1) if addresses else 0, place

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """Return a row for each caller of each stack, in their order."""
        stacks = list(self._numbers)
        depths = [len(stack.addresses) for stack in stacks]
        places = [self._sites.of(site) or Site() for stack in stacks for site in stack.sites]
        return {
            "stack": np.repeat(np.arange(1, len(stacks) + 1, dtype=np.int64), depths),
            "depth": np.array([depth + 1 for count in depths for depth in range(count)], dtype=np.int64),
            "address": np.array([address for stack in stacks for address in stack.addresses], dtype=np.uint64),
            "whole": np.repeat(np.array([stack.is_whole for stack in stacks], dtype=np.bool_), depths),
            "function": objects([place.function for place in places]),
            "file": objects([place.file for place in places]),
            "line": np.array([place.line or 0 for place in places], dtype=np.int64),
            "module": objects([place.module for place in places]),
            "offset": np.array([place.offset or 0 for place in places], dtype=np.uint64),
        }


class KnownStacks:
    """The stacks of one process that were asked for since its code changed."""

    def __init__(self) -> None:
        self._code: CodeMap | None = None
        self._changes = 0
        self._found: dict[int, tuple[int, int]] = {}

    def of(self, number: int, code: CodeMap, table: StackTable) -> tuple[int, int]:
        """Return what the *table* finds by a *number* in this *code*."""
        if code is not self._code or code.changes != self._changes:
            self._code, self._changes = code, code.changes
            self._found.clear()
        found = self._found.get(number)
        if found is None:
            found = self._found[number] = table.find(number, code)
        return found


def write_stacks(folder: Folder, table: StackTable) -> None:
    """Write all stacks as a table, a row a caller, in the order of their numbers and from the innermost caller on.

    Raises:
        BadTrace: it cannot be written.
    """
    what = f"cannot write {STACKS} of {folder.path}"
    with (
        database(what, f"observer show {typed(folder.path)} tries again") as connection,
        folder.replacing(STACKS) as file,
    ):
        connection.execute("set threads = 1")  # more would hand rows out in another order
        connection.register("rows", table.columns())
        query = f'select {_FIXED} from (select stack, depth, address, {_PLACE} as site, "whole" from rows)'
        how = "format parquet, compression zstd, use_tmp_file false"
        connection.execute(f"copy ({query}) to '/proc/self/fd/{file.fileno()}' ({how})")


def read_stacks(folder: Folder) -> dict[int, CallStack]:
    """Return the stacks of the trace in *folder* by their numbers; memory grows with them.

    Raises:
        BadTrace: the table is missing, or has what cannot have been written.
    """
    try:
        file = folder.file(STACKS)
    except OSError as error:
        raise BadTrace(f"cannot read {STACKS} of {folder.path}", error.strerror or "", _AGAIN) from error
    stacks: dict[int, CallStack] = {}
    with database(f"cannot read {STACKS} of {folder.path}", _AGAIN) as connection:
        rows = connection.execute(
            f"select {_FIXED} from read_parquet(?) order by stack, depth", [file.path]
        )  # fmt: skip
        for stack, callers, is_whole in _stacks(iter(lambda: rows.fetchmany(_BATCH), [])):
            if is_whole is None or stack != len(stacks) + 1:
                why = f"stack {stack} is not as it was written"
                raise BadTrace(f"{STACKS} of {folder.path} is damaged", why, _AGAIN)
            stacks[stack] = CallStack(callers, is_whole)
    return stacks


def _stacks(batches: Iterator[list[tuple[Any, ...]]]) -> Iterator[tuple[int, tuple[Site, ...], bool | None]]:
    """Yield each stack's number, callers, and whether it is whole; None where its rows cannot be."""
    number, callers, is_whole = 0, list[Site](), True
    known: dict[tuple[Any, ...], Site] = {}
    for batch in batches:
        for stack, depth, address, place, whole in batch:
            if stack != number:
                if callers:
                    yield number, tuple(callers), is_whole
                number, callers, is_whole = stack, [], whole
            is_sound = (
                depth == len(callers) + 1 <= MOST_CALLERS and None not in (stack, address, whole) and _is_sound(place)
            )
            if not is_sound:
                yield number, (), None
                return
            key = tuple((place or {}).values())
            callers.append(known.setdefault(key, Site(**(place or {}))))
    if callers:
        yield number, tuple(callers), is_whole


def _is_sound(place: dict[str, Any] | None) -> bool:
    texts = [place[name] for name in ("function", "file", "module")] if place is not None else []
    return all(text is None or len(text) <= LONGEST for text in texts)
