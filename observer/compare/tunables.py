"""What the real allocator was told at its start: the tunables that the rules of departure depend on.

Source: the GNU C Library manual, "Memory Allocation Tunables"; mallopt(3) for the MALLOC_… variables; defaults of
glibc 2.31 to 2.43 on 64-bit machines.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final

__all__ = ["Tunables", "read_tunables"]

_OLD_NAMES: Final = {
    "MALLOC_MMAP_THRESHOLD_": "mmap_threshold", "MALLOC_TRIM_THRESHOLD_": "trim_threshold",
    "MALLOC_TOP_PAD_": "top_pad", "MALLOC_MMAP_MAX_": "mmap_max", "MALLOC_ARENA_MAX": "arena_max",
    "MALLOC_PERTURB_": "perturb",
}  # fmt: skip


@dataclass(slots=True)
class Tunables:
    """Bytes and counts; `dynamic` is whether freeing a mapped chunk still moves the thresholds."""

    tcache_count: int = 7
    tcache_max: int = 1032
    mmap_threshold: int = 131072
    trim_threshold: int = 131072
    top_pad: int = 131072
    mmap_max: int = 65536
    mxfast: int = 128
    hugetlb: int = 0
    arena_max: int = 0
    perturb: int = 0
    dynamic: bool = True

    def set(self, name: str, number: int) -> None:
        """Set what a tunable or mallopt(3) calls *name*; names that no rule depends on are ignored."""
        if name not in _SETTABLE:
            return
        if name == "mxfast":
            # The limit is on chunks, 16 bytes more than the request it is given as.
            number = (number + 8) & -16 if number else 0
        setattr(self, name, number)
        self.dynamic = self.dynamic and name not in _FIXING

    def freed_mapping(self, size: int) -> None:
        """Note that a mapped chunk of *size* bytes was freed: the thresholds follow it, up to 32 MiB."""
        if self.dynamic and self.mmap_threshold < size <= 32 << 20:
            self.mmap_threshold, self.trim_threshold = size, 2 * size


_FIXING: Final = frozenset({"mmap_threshold", "trim_threshold", "top_pad", "mmap_max"})
_SETTABLE: Final = frozenset(field.name for field in fields(Tunables)) - {"dynamic"}
_NUMBER: Final = re.compile(r"(?P<hex>0[xX][0-9a-fA-F]{1,16})|(?P<octal>0[0-7]{1,22})|[0-9]{1,20}")
"""As strtoul(3) with base 0 reads them."""


def read_tunables(environment: Mapping[str, str]) -> Tunables:
    """Return what GLIBC_TUNABLES and the MALLOC_… variables of *environment* set; what is no number is skipped.

    >>> read_tunables({"GLIBC_TUNABLES": "glibc.malloc.top_pad=0:glibc.malloc.tcache_count=0"}).top_pad
    0
    """
    given: dict[str, str] = {
        name: environment[variable] for variable, name in _OLD_NAMES.items() if variable in environment
    }
    for word in environment.get("GLIBC_TUNABLES", "").split(":"):
        name, _, value = word.partition("=")
        if name.startswith("glibc.malloc."):
            given[name.removeprefix("glibc.malloc.")] = value
    tunables = Tunables()
    for name, value in given.items():
        match = _NUMBER.fullmatch(value.strip())
        if match is not None:
            tunables.set(name, int(match[0], 16 if match["hex"] else 8 if match["octal"] else 10))
    return tunables
