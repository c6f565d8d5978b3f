"""Tracepoints as tracefs describes them: their numbers, and where each field lies in what they record.

Offsets and flags differ between kernels (Documentation/trace/events.rst: "format"), so that all of them are read here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["MOUNTS", "Field", "Format", "format_of", "parse_format"]

MOUNTS: Final = ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")
"""Where tracefs is mounted; the second is where debugfs has it (and had it alone before Linux 4.1)."""

_FIELD: Final = re.compile(r"\tfield:([^;]+);\toffset:(\d+);\tsize:(\d+);(?:\tsigned:([01]);)?")
_NUMBER: Final = re.compile(r"^ID: (\d+)$", re.MULTILINE)
_NAMED_FLAG: Final = re.compile(r'\{([^{}"]*),\s*"(\w+)"\s*\}')
_SHIFTED: Final = re.compile(r"\(\(*1UL\)*\s*<<\s*\((\d+)\)\)")
_WRITTEN: Final = re.compile(r"0x([0-9a-fA-F]+)[uUlL]*")


@dataclass(frozen=True, slots=True)
class Field:
    """Where one field lies in a record, in bytes."""

    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Format:
    """A tracepoint: its `number` for perf_event_open(2), its `fields`, and single-bit `flags` that its text names."""

    number: int
    fields: dict[str, Field]
    flags: dict[str, int]


def format_of(tracepoint: str) -> Format:
    """Return the format of a *tracepoint*, written `subsystem:name`.

    Raises:
        FileNotFoundError: tracefs is mounted, and the kernel has no such tracepoint; `filename` is then its path.
        OSError: tracefs is not mounted (ENODEV), or this user may not read it.
    """
    subsystem, _colon, name = tracepoint.partition(":")
    path = _mounted() / "events" / subsystem / name / "format"
    return parse_format(path.read_text(encoding="ascii", errors="replace"))


def _mounted() -> Path:
    refused: OSError | None = None
    for mount in map(Path, MOUNTS):
        try:
            if (mount / "events").is_dir():
                return mount
        except OSError as error:
            refused = error
    if refused is not None:
        raise refused
    raise OSError(19, "tracefs is not mounted", MOUNTS[0])


def parse_format(text: str) -> Format:
    """Read a tracepoint's `format` file; raises ValueError where it is none."""
    number = _NUMBER.search(text)
    if number is None:
        raise ValueError("a tracepoint's format without its ID")
    fields = {
        declaration.split("[")[0].split()[-1].lstrip("*"): Field(int(offset), int(size))
        for declaration, offset, size, _signed in _FIELD.findall(text)
    }
    return Format(int(number[1]), fields, _flags(text))


def _flags(text: str) -> dict[str, int]:
    """Return the flags that the print format names: those that are written as one number or one shifted bit.

    Names of several flags together are sums of other terms, which are not read.
    """
    flags: dict[str, int] = {}
    for expression, name in _NAMED_FLAG.findall(text):
        shifted, written = _SHIFTED.findall(expression), _WRITTEN.findall(expression)
        if len(shifted) == 1 and not written:
            flags[name] = 1 << int(shifted[0])
        elif len(written) == 1 and not shifted:
            flags[name] = int(written[0], 16)
    return {name: value for name, value in flags.items() if value and not value & (value - 1)}
