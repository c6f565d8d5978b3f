"""What differs between the releases of glibc, as data: the model asks here and never for a number of a release.

Source: the history of malloc/ from 2.31 to 2.43, and experiments with Debian's and Ubuntu's builds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final, Literal

__all__ = ["VERSIONS", "Version", "nearest", "version_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """The behaviour of one family of releases; sizes are bytes.

    Thread cache: `tcache_struct` its size, `tcache_count` chunks a size, `tcache_limit` the first chunk size that it
    does not serve, `tcache_made` by which event it comes to be, `tcache_large` whether (and how exactly) it may serve
    large chunks; `calloc_from_tcache`, `memalign_from_tcache`; `inner_frees_cached` whether parts that the allocator
    itself cuts off go there.

    Free chunks: `fastbins` whether there are any, `small_bins_direct` whether a freed small chunk skips the
    unsorted bin.

    memalign: `memalign_parts` what becomes of lead and tail: freed like a program's, joined with neighbours, or joined
    when at least 32 bytes. `aligned_alloc_checks` whether aligned_alloc refuses what is no power of two.

    realloc: `realloc_keeps` when a smaller or equal request returns at once.

    Kernel: `mapped_overhead` bytes added to a chunk with its own mapping, `mapped_tail` those that its size word does
    not count, `fallback` how much is mapped when brk is refused, `noreserve` whether threads' heaps are mapped so.

    Threads: `heap_header` and `arena_struct`.

    Settings: `threshold_capped` whether mmap_threshold is refused above 32 MiB, `mmap_max_least` the least value that
    the loader takes for mmap_max, `hugetlb` whether there is such a
    tunable, `strict_tunables` whether a malformed list of tunables is refused whole. Huge pages: `huge_heaps` whether
    threads' heaps aim at them, too, `huge_from_break` whether the first growth asks where the break is before it
    rounds, `huge_inside` whether an unaligned range is narrowed to pages when huge pages are asked for, not widened.

    `refuses_late` is whether a request above PTRDIFF_MAX gets as far as choosing an arena.
    """

    name: str
    tcache_struct: int = 640
    tcache_count: int = 7
    tcache_limit: int = 1041
    tcache_made: Literal["any call", "small request", "free"] = "any call"
    tcache_large: Literal["", "at least", "exact"] = ""
    calloc_from_tcache: bool = False
    memalign_from_tcache: bool = False
    inner_frees_cached: bool = True
    fastbins: bool = True
    small_bins_direct: bool = False
    memalign_parts: Literal["freed", "joined", "joined if whole"] = "freed"
    aligned_alloc_checks: bool = False
    realloc_keeps: Literal["never", "trim threshold", "padding or page", "padding"] = "never"
    mapped_overhead: int = 8
    mapped_tail: int = 0
    fallback: Literal["least", "exchanged", "padded"] = "least"
    noreserve: bool = True
    heap_header: int = 0x20
    arena_struct: int = 0x898
    first_calloc_by_hook: bool = False
    threshold_capped: bool = False
    mmap_max_least: int = 0
    hugetlb: bool = True
    huge_heaps: bool = False
    huge_from_break: bool = False
    huge_inside: bool = False
    refuses_late: bool = False
    strict_tunables: bool = False


_2_31: Final = Version(
    name="2.31", first_calloc_by_hook=True, threshold_capped=True, hugetlb=False, mmap_max_least=-(1 << 31)
)
_2_34: Final = replace(_2_31, name="2.34", first_calloc_by_hook=False, mmap_max_least=0)
_2_35: Final = replace(
    _2_34, name="2.35", heap_header=0x30, fallback="exchanged", threshold_capped=False, hugetlb=True
)  # fmt: skip
_2_37: Final = replace(_2_35, name="2.37", realloc_keeps="trim threshold", noreserve=False)
_2_38: Final = replace(
    _2_37, name="2.38", fallback="least", realloc_keeps="padding or page", memalign_from_tcache=True,
    aligned_alloc_checks=True,
)  # fmt: skip
_2_39: Final = replace(_2_38, name="2.39", memalign_parts="joined", strict_tunables=True)
_2_41: Final = replace(_2_39, name="2.41", small_bins_direct=True, calloc_from_tcache=True)
_2_42: Final = replace(
    _2_41, name="2.42", tcache_struct=760, tcache_made="small request", tcache_large="at least",
    inner_frees_cached=False,
)  # fmt: skip
_2_43: Final = replace(
    _2_42, name="2.43", tcache_count=16, tcache_made="free", tcache_large="exact", fastbins=False,
    memalign_parts="joined if whole", realloc_keeps="padding", mapped_overhead=16, mapped_tail=16, fallback="padded",
    arena_struct=0x840, huge_heaps=True,
    huge_from_break=True, huge_inside=True, refuses_late=True,
)  # fmt: skip

VERSIONS: Final = {
    "2.31": _2_31,
    "2.32": replace(_2_31, name="2.32"),
    "2.33": replace(_2_31, name="2.33"),
    "2.34": _2_34,
    "2.35": _2_35,
    "2.36": replace(_2_35, name="2.36"),
    "2.37": _2_37,
    "2.38": _2_38,
    "2.39": _2_39,
    "2.40": replace(_2_39, name="2.40"),
    "2.41": _2_41,
    "2.42": _2_42,
    "2.42.0": replace(_2_42, name="2.42.0", tcache_limit=1032),
    "2.43": _2_43,
}
"""By release. `2.42.0` is the first tarball, whose limit of the thread cache is 9 bytes lower than its branch's."""


def version_of(text: str) -> Version:
    """Return the behaviour of a release named as gnu_get_libc_version(3) does, distribution suffixes ignored.

    >>> version_of("2.36-9+deb12u14").name
    '2.36'

    Raises:
        ValueError: for a release that the model does not know.
    """
    found = VERSIONS.get(text)
    if found is None and (match := re.match(r"\d+\.\d+", text)):
        found = VERSIONS.get(match[0])
    if found is None:
        raise ValueError(f"glibc {text} is not known; known are {', '.join(VERSIONS)}")
    return found


def nearest(text: str) -> Version:
    """Return the behaviour that a release most likely has: its own, else the newest known one's, else 2.36's.

    For what explains a run and need not predict it.

    >>> nearest("2.99").name, nearest("").name
    ('2.43', '2.36')
    """
    try:
        return version_of(text)
    except ValueError:
        numbers = re.match(r"2\.(\d+)", text)
        return VERSIONS["2.43" if numbers and int(numbers[1]) > 43 else "2.36"]
