"""What the environment tells the allocator: GLIBC_TUNABLES and the MALLOC_ variables, read as the loader reads them.

Source: the GNU C Library manual, "Memory Allocation Tunables"; mallopt(3), "Environment variables". Programs that run
with another user's rights ignore all of it, which the caller has to know.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from observer.glibc.versions import Version

__all__ = ["BOUNDS", "parse_number", "read_tunables"]

_MOST: Final = (1 << 64) - 1
BOUNDS: Final[dict[str, tuple[int, int]]] = {
    "tcache_count": (0, _MOST),
    "tcache_max": (0, _MOST),
    "tcache_unsorted_limit": (0, _MOST),
    "mmap_threshold": (0, _MOST),
    "trim_threshold": (0, _MOST),
    "top_pad": (0, _MOST),
    "mmap_max": (0, (1 << 31) - 1),
    "arena_max": (1, _MOST),
    "arena_test": (1, _MOST),
    "mxfast": (0, _MOST),
    "perturb": (0, 255),
    "hugetlb": (0, _MOST),
}
"""The smallest and the largest value that the loader accepts; the allocator may still refuse it."""

_ALIASES: Final = {
    "MALLOC_TOP_PAD_": "top_pad",
    "MALLOC_PERTURB_": "perturb",
    "MALLOC_MMAP_MAX_": "mmap_max",
    "MALLOC_MMAP_THRESHOLD_": "mmap_threshold",
    "MALLOC_TRIM_THRESHOLD_": "trim_threshold",
    "MALLOC_ARENA_MAX": "arena_max",
    "MALLOC_ARENA_TEST": "arena_test",
}
_PREFIX: Final = "glibc.malloc."
_SIGNED: Final = ("mmap_max", "perturb")
"""Read as 32-bit numbers with a sign."""
_DIGITS: Final = "0123456789abcdef"


def parse_number(text: str) -> tuple[int, int]:
    """Return the unsigned 64-bit number that *text* begins with, and how many characters it takes.

    Blanks before it, a sign, 0x and a leading 0 for octal are understood; what is no number is 0.

    >>> parse_number("0x10"), parse_number("-1 "), parse_number("8k"), parse_number("all")
    ((16, 4), (18446744073709551615, 2), (8, 1), (0, 0))
    """
    at = len(text) - len(text.lstrip(" \t"))
    negative = text[at : at + 1] == "-"
    at += text[at : at + 1] in ("-", "+") and at < len(text)
    if not text[at : at + 1].isdecimal():
        return 0, at
    base = 10
    if text[at] == "0":
        base = 16 if text[at + 1 : at + 2] in ("x", "X") else 8
        at += 2 if base == 16 else 0
    value = 0
    while at < len(text) and text[at].lower() in _DIGITS[:base]:
        digit = _DIGITS.index(text[at].lower())
        if value >= (_MOST - digit) // base:
            return _MOST, at
        value, at = value * base + digit, at + 1
    return (-value & _MOST if negative else value), at


def read_tunables(environment: Mapping[str, str], version: Version) -> dict[str, int]:
    """Return the settings of an environment that the loader accepts, by the tunable's last word.

    GLIBC_TUNABLES goes before the older variables. From 2.39 a list with a word that is no `name=value` counts as
    none, and so does a value with anything behind the number.

    >>> from observer.glibc.versions import VERSIONS
    >>> read_tunables({"MALLOC_TOP_PAD_": "4096", "GLIBC_TUNABLES": "glibc.malloc.top_pad=0"}, VERSIONS["2.36"])
    {'top_pad': 0}
    """
    settings: dict[str, int] = {}
    for name, text in _listed(environment.get("GLIBC_TUNABLES", ""), strict=version.strict_tunables):
        _set(settings, name, text, version)
    for variable, name in _ALIASES.items():
        if variable in environment and name not in settings:
            _set(settings, name, environment[variable], version)
    return settings


def _listed(text: str, *, strict: bool) -> list[tuple[str, str]]:
    """Return names and values of a list of tunables."""
    words = [word.partition("=") for word in text.split(":")]
    if strict and text and (not words[-1][1] or any("=" in value for _name, _equals, value in words)):
        return []
    pairs = [(name.removeprefix(_PREFIX), value) for name, equals, value in words if equals and _PREFIX in name]
    return list(dict(pairs).items()) if strict else pairs


def _signed(value: int, bits: int) -> int:
    """Return the lowest bits of *value* as a number with a sign."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def _set(settings: dict[str, int], name: str, text: str, version: Version) -> None:
    if name not in BOUNDS or (name == "hugetlb" and not version.hugetlb):
        return
    value, used = parse_number(text)
    smallest, largest = BOUNDS[name]
    if name in _SIGNED:
        value = _signed(value, 32 if version.strict_tunables else 64)
    if name == "mmap_max":
        smallest = version.mmap_max_least
    if smallest <= value <= largest and (used == len(text) or not version.strict_tunables):
        settings[name] = value
