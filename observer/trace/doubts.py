"""Why the live pieces of a process need not be what its heap holds: what calls did that nobody could see."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Doubts"]


@dataclass(slots=True)
class Doubts:
    """What is known of one process.

    `has_others`: another allocator's function than glibc's, or the loader's, returned pieces. `unended` counts calls
    that did not return, `misused` those that broke the allocator's rules. `is_copy`: a fork made it while other threads
    may have been in calls; `is_partial`: it lived before the recording began.
    """

    has_others: bool = False
    unended: int = 0
    misused: int = 0
    is_copy: bool = False
    is_partial: bool = False

    def copy(self) -> Doubts:
        """Return an independent copy (fork)."""
        return Doubts(self.has_others, self.unended, self.misused, self.is_copy, self.is_partial)
