"""The settings in force: defaults, then tunables, then mallopt(3), then the thresholds that follow what is freed.

All sizes are bytes. Source: mallopt(3); the GNU C Library manual, "Memory Allocation Tunables".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from observer.glibc.chunks import LARGEST, MINIMUM, chunk_size
from observer.glibc.tunables import read_tunables
from observer.glibc.versions import Version
from observer.model.operations import MALLOPT

__all__ = ["HEAP_BYTES", "Parameters"]

HEAP_BYTES: Final = 64 << 20
"""What a thread's heap reserves."""
_DYNAMIC_LIMIT: Final = 32 << 20
_MOST_FAST: Final = 160
_MOST_CACHED: Final = 65535
_CACHE_SIZES: Final = 64
_CACHE_LARGE_MOST: Final = 4194304
_FIXED: Final = ("mmap_threshold", "trim_threshold", "top_pad", "mmap_max")


class Parameters:
    """What one process has set.

    `fast_limit` is the largest chunk of a fast bin; `cache_limit` the first chunk size that the thread cache does not
    serve, `cache_sizes` how many sizes it has lists for, `cache_count` how many chunks each may hold; `dynamic` is
    whether freeing a mapped chunk still moves the thresholds; `hugetlb` is as it was asked for.

    Args:
        version: the release.
        tunables: as `read_tunables` returns them.
        huge_page: size of the transparent huge pages that hugetlb=1 aims at; 0: the system does not offer them.
        huge_advised: whether the system's mode is `madvise`, so that the allocator asks for them.
    """

    __slots__ = (
        "arena_max", "arena_test", "cache_count", "cache_limit", "cache_sizes", "dynamic", "fast_limit", "huge_advised",
        "huge_page", "hugetlb", "mapped", "mmap_max", "mmap_threshold", "perturb", "top_pad", "trim_threshold",
        "unsorted_limit", "version",
    )  # fmt: skip

    def __init__(
        self, version: Version, tunables: Mapping[str, int], *, huge_page: int = 0, huge_advised: bool = True
    ) -> None:
        self.version = version
        self.mmap_threshold = self.trim_threshold = self.top_pad = 128 << 10
        self.mmap_max, self.mapped, self.dynamic = 65536, 0, True
        self.arena_max, self.arena_test, self.hugetlb = 0, 8, 0
        self.fast_limit = 128 if version.fastbins else 0
        self.perturb = self.unsorted_limit = 0
        self.cache_count, self.cache_sizes, self.cache_limit = version.tcache_count, _CACHE_SIZES, version.tcache_limit
        self.huge_page, self.huge_advised = 0, huge_advised
        for name, value in tunables.items():
            self.set(name, value)
        if self.hugetlb == 1 and version.hugetlb and (huge_advised or version.huge_heaps):
            self.huge_page = huge_page

    @classmethod
    def told(cls, environment: Mapping[str, str], version: Version) -> Parameters:
        """Return what a program of that release begins with, on a machine that offers no huge pages."""
        return cls(version, read_tunables(environment, version))

    def mallopt(self, parameter: int, value: int) -> bool:
        """Set what mallopt(3) sets; return whether it was accepted. Unknown parameters are."""
        name = MALLOPT.get(parameter, "").removeprefix("M_").lower()
        if name in ("", "check_action") or (name in ("arena_test", "arena_max") and value <= 0):
            return True
        return self.set(name, value if name in ("perturb", "mmap_max") else value & ((1 << 64) - 1))

    def set(self, name: str, value: int) -> bool:
        """Set one setting by its tunable's name; return whether the allocator accepts the value."""
        special = {"mxfast": self._set_mxfast, "tcache_max": self._set_cache_limit, "tcache_count": self._set_count}
        if name in special:
            return special[name](value)
        if name == "mmap_threshold" and self.version.threshold_capped and value > HEAP_BYTES // 2:
            return False
        if name in _FIXED:
            self.dynamic = False
        if name == "tcache_unsorted_limit":
            self.unsorted_limit = value
        else:
            setattr(self, name, value)
        return True

    def freed_mapping(self, word: int, size: int) -> None:
        """A mapped chunk of *size* bytes, with size word *word*, was freed: the thresholds may follow it."""
        if self.dynamic and self.mmap_threshold < word <= _DYNAMIC_LIMIT:
            self.mmap_threshold, self.trim_threshold = size, 2 * size

    def maps(self, size: int) -> bool:
        """Whether a chunk of *size* bytes gets a mapping of its own, when the heap has no room for it."""
        return size >= self.mmap_threshold and self.mapped < self.mmap_max

    def facts(self) -> tuple[object, ...]:
        """Return all settings, to be compared."""
        return tuple(getattr(self, name) for name in self.__slots__)

    def copy(self) -> Parameters:
        """Return those of a forked child."""
        twin = Parameters.__new__(Parameters)
        for name in self.__slots__:
            setattr(twin, name, getattr(self, name))
        return twin

    def _set_mxfast(self, value: int) -> bool:
        if value > _MOST_FAST:
            return not self.version.fastbins
        if self.version.fastbins:
            self.fast_limit = 16 if value <= 7 else (value + 8) & -16
        return True

    def _set_count(self, value: int) -> bool:
        if value > _MOST_CACHED:
            return False
        self.cache_count = value
        return True

    def _set_cache_limit(self, value: int) -> bool:
        size = chunk_size(value) if value <= LARGEST else LARGEST
        sizes = (size - MINIMUM) // 16 + 1
        if self.version.tcache_large:
            if size >= _CACHE_LARGE_MOST:
                return False
            self.cache_limit = size + 1
        elif value > 1032:
            return False
        else:
            self.cache_limit = size + 1
        self.cache_sizes = min(sizes, _CACHE_SIZES)
        return True
