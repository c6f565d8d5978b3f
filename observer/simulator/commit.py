"""Overcommit: may so much memory be promised? (__vm_enough_memory in mm/util.c, Documentation/mm/overcommit-accounting)

Private writable mappings and shared anonymous memory are charged, when they are made or made writable, whether or not
they are ever touched; MAP_NORESERVE exempts them in modes 0 and 1. The small reserves that mode 2 keeps for the
administrator and for each process's own recovery (admin_reserve_kbytes, user_reserve_kbytes) are left out here.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Commitment"]


@dataclass(slots=True)
class Commitment:
    """What is promised to all processes, and by which rule; all amounts in pages.

    `mode` is /proc/sys/vm/overcommit_memory: 0 refuses only a single request that RAM and swap together could never
    hold, 1 refuses nothing, 2 keeps the sum of all promises within `limit`. `ratio` is overcommit_ratio in percent.
    """

    mode: int
    total_pages: int
    swap_pages: int = 0
    ratio: int = 50
    committed: int = 0

    def __post_init__(self) -> None:
        if self.mode not in (0, 1, 2):
            raise ValueError(f"overcommit mode {self.mode} is not 0, 1 or 2")

    @property
    def limit(self) -> int:
        """CommitLimit of /proc/meminfo in pages (without huge page pools): a share of RAM, and all of swap."""
        return self.total_pages * self.ratio // 100 + self.swap_pages

    def may(self, pages: int) -> bool:
        """Whether *pages* more may be promised."""
        if self.mode == 0:
            return pages <= self.total_pages + self.swap_pages
        return self.mode == 1 or self.committed + pages < self.limit

    def charge(self, pages: int) -> bool:
        """Promise *pages* more if that may be; return whether it was done (if not, mmap fails with ENOMEM)."""
        if not self.may(pages):
            return False
        self.committed += pages
        return True

    def release(self, pages: int) -> None:
        """Take a promise of *pages* back, as munmap does."""
        self.committed -= pages
