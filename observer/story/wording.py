"""Numbers in words: sizes, counts and times as the story writes them."""

from __future__ import annotations

import errno
from typing import Final

__all__ = ["bytes_exactly", "error_name", "moment", "number", "plural", "short_size", "size"]

_UNITS: Final = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def number(value: int) -> str:
    """Write 1234567 as 1,234,567."""
    return f"{value:,}"


def plural(count: int, noun: str) -> str:
    """Count a noun.

    >>> plural(1, "page fault"), plural(1200, "page fault"), plural(0, "copy")
    ('1 page fault', '1,200 page faults', '0 copies')
    """
    if count == 1:
        return f"1 {noun}"
    many = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{count:,} {many}"


def size(value: int) -> str:
    """Write a number of bytes in the largest unit that fits, without a false `.0`.

    >>> size(100), size(135168), size(2100000), size(1 << 46)
    ('100 bytes', '132 KiB', '2.0 MiB', '64 TiB')
    """
    if abs(value) < 1024:
        return plural(value, "byte")
    unit, name = _unit_of(value)
    text = str(value // unit) if value % unit == 0 else f"{value / unit:.1f}"
    return f"{text} {name}"


def short_size(value: int) -> str:
    """Write a size in eight places: without a fraction from a hundred on.

    >>> short_size(135168), short_size(2100000), short_size(1023 * 1024 + 17)
    ('132 KiB', '2.0 MiB', '1023 KiB')
    """
    if abs(value) < 1024:
        return size(value)
    unit, name = _unit_of(value)
    figure = round(value / unit, 1)
    return f"{figure:.0f} {name}" if value % unit and figure >= 100 else size(value)


def _unit_of(value: int) -> tuple[int, str]:
    """Return the largest unit that fits, in bytes, and its name; for sizes from 1024 on."""
    power = min((abs(value).bit_length() - 1) // 10, len(_UNITS))
    return 1 << 10 * power, _UNITS[power - 1]


def bytes_exactly(value: int) -> str:
    """Write a size for the eye and for the debugger: `132 KiB (0x21000)`."""
    return f"{size(value)} ({value:#x})" if value >= 1024 else size(value)


def moment(nanoseconds: int) -> str:
    """Write a time in three or four digits.

    >>> moment(900), moment(1204000), moment(62_000_000_000)
    ('0.9 µs', '1.204 ms', '62.000 s')
    """
    if nanoseconds < 1_000_000:
        return f"{nanoseconds / 1e3:.1f} µs"
    if nanoseconds < 1_000_000_000:
        return f"{nanoseconds / 1e6:.3f} ms"
    return f"{nanoseconds / 1e9:.3f} s"


def error_name(code: int) -> str:
    """Return errno's symbolic name: `ENOMEM`."""
    return errno.errorcode.get(code, f"errno {code}")
