"""What each place of a run weighs, for pprof: a compressed message of profile.proto.

Source: github.com/google/pprof, proto/profile.proto, and the encoding at protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Mapping
from typing import BinaryIO, Final

from observer.model.filenames import as_text
from observer.report.flame import KINDS
from observer.story.weights import Stack, Weights

__all__ = ["write_pprof"]

_UNITS: Final = {"bytes": "bytes", "none": "count", "nanoseconds": "nanoseconds"}
_SAMPLE_TYPE, _SAMPLE, _LOCATION, _FUNCTION, _STRING, _DEFAULT = 1, 2, 4, 5, 6, 14
_MASK: Final = (1 << 64) - 1
_MOST: Final = (1 << 63) - 1
"""The most that a value can be, and that pprof can add up to: both are signed there."""
_LARGER_UNITS: Final = ("kilobytes", "megabytes", "gigabytes", "terabytes", "petabytes")
"""What pprof counts bytes in besides, each 1,024 of the one before."""


def write_pprof(weights: Mapping[Stack, Weights], out: BinaryIO) -> None:
    """Write one sample a stack, with a value of each of KINDS; what has none of any has no sample."""
    strings: dict[str, int] = {"": 0}
    places: dict[str, int] = {}
    body = bytearray()
    columns = []
    for name, kind in KINDS.items():
        unit, column = _fitting(_UNITS[kind.unit], [max(kind.of(weight), 0) for weight in weights.values()])
        columns.append(column)
        body += _message(_SAMPLE_TYPE, _field(1, _text(strings, name)) + _field(2, _text(strings, unit)))
    for stack, values in zip(weights, zip(*columns, strict=True), strict=True):
        if any(values):
            ids = [places.setdefault(frame, len(places) + 1) for frame in reversed(stack)]  # the innermost first
            body += _message(_SAMPLE, _packed(1, ids) + _packed(2, values))
    for frame, number in places.items():
        text = _text(strings, frame)
        body += _message(_FUNCTION, _field(1, number) + _field(2, text) + _field(3, text))
        body += _message(_LOCATION, _field(1, number) + _message(4, _field(1, number)))
    body += _field(_DEFAULT, _text(strings, "bytes"))
    for string in strings:
        body += _message(_STRING, as_text(string).encode("utf-8", "backslashreplace"))
    out.write(gzip.compress(bytes(body), mtime=0))


def _fitting(unit: str, values: list[int]) -> tuple[str, list[int]]:
    """Return *values* in *unit*, or in the least unit in which pprof can add them up: nobody has the memory, but a
    program may ask for it, again and again."""
    for larger in _LARGER_UNITS if unit == "bytes" else ():
        if sum(values) <= _MOST:
            break
        unit, values = larger, [value >> 10 for value in values]
    return unit, values


def _text(strings: dict[str, int], text: str) -> int:
    """Return the number of *text* in the table of strings."""
    return strings.setdefault(text, len(strings))


def _varint(value: int) -> bytes:
    """Return *value* in groups of seven bits, the lowest first; what is below 0 as 64 bits.

    >>> _varint(1), _varint(300)
    (b'\\x01', b'\\xac\\x02')
    """
    value &= _MASK
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def _field(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _message(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _packed(number: int, values: Iterable[int]) -> bytes:
    return _message(number, b"".join(map(_varint, values)))
