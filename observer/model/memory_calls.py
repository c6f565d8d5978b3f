"""What the memory system calls mean, decoded in one place: what each maps, moves, takes away, advises.

A call is decoded from its name, the words in its registers and what came of it. Before it is carried out the same
value tells what is asked. Sources: brk(2), mmap(2), mmap2(2), munmap(2), mremap(2), mprotect(2), pkey_mprotect(2),
madvise(2), mlock(2); the numbers are those of include/uapi/asm-generic/mman-common.h and mman.h, x86's and ARM's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Literal

from observer.model.addresses import PAGE, page_down, page_up
from observer.model.events import Syscall

__all__ = [
    "ADVICE", "MMAP2_UNIT", "WORDS", "Advice", "Advise", "Break", "Lock", "LockAll", "Map", "MapFlag", "MemoryCall",
    "Move", "MoveFlag", "Protect", "Unlock", "UnlockAll", "Unmap", "decode", "map_flags", "memory_call",
    "protection_of",
]  # fmt: skip

WORDS: Final = {
    "brk": 1, "mmap": 4, "mmap2": 4, "munmap": 2, "mremap": 3, "mprotect": 3, "pkey_mprotect": 3, "madvise": 3,
    "mlock": 2, "mlock2": 2, "munlock": 2, "mlockall": 1, "munlockall": 0,
}  # fmt: skip
"""How many of its first arguments say what a call asks, by the names of those that are decoded."""

MapFlag = Literal[
    "shared", "private", "fixed", "anonymous", "growsdown", "locked", "noreserve", "populate", "hugetlb"
]  # fmt: skip
"""MAP_SHARED_VALIDATE is shared, too."""
MoveFlag = Literal["maymove", "fixed", "dontunmap"]
Advice = Literal[
    "dontneed", "free", "remove", "dontfork", "dofork", "hugepage", "nohugepage", "wipeonfork", "keeponfork",
    "populate_read", "populate_write", "dontneed_locked", "collapse",
]  # fmt: skip
"""MADV_…, in small letters."""

ADVICE: Final[dict[int, Advice]] = {
    4: "dontneed", 8: "free", 9: "remove", 10: "dontfork", 11: "dofork", 14: "hugepage", 15: "nohugepage",
    18: "wipeonfork", 19: "keeponfork", 22: "populate_read", 23: "populate_write", 24: "dontneed_locked",
    25: "collapse",
}  # fmt: skip
"""The advice that changes what is mapped or resident, or how it will be, by its number; the rest only hints."""

MMAP2_UNIT: Final = 4096
"""What the offset of mmap2(2) counts, in bytes, whatever the page size."""

_SHARING: Final[dict[int, MapFlag]] = {1: "shared", 2: "private", 3: "shared"}
_SHARING_BITS: Final = 0xF
_MAP_BITS: Final[dict[int, MapFlag]] = {
    0x10: "fixed", 0x20: "anonymous", 0x100: "growsdown", 0x2000: "locked", 0x4000: "noreserve", 0x8000: "populate",
    0x40000: "hugetlb",
}  # fmt: skip
_MOVE_BITS: Final[dict[int, MoveFlag]] = {1: "maymove", 2: "fixed", 4: "dontunmap"}
_PROTECTION_BITS: Final = (("r", 1), ("w", 2), ("x", 4))
_LOCK_ON_FAULT: Final = 1  # MLOCK_ONFAULT of mlock2
_LOCK_CURRENT: Final = 1  # MCL_CURRENT of mlockall
_MOST_WORDS: Final = 6


@dataclass(frozen=True, slots=True)
class _Decoded:
    """`failed`: the kernel refused it. An advice that failed may still have been taken in part (madvise(2))."""

    failed: bool = field(default=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Break(_Decoded):
    """brk: `asked` is the break that is wished for, `end` where it is afterwards, None until then.

    The kernel answers with the break also where it leaves it as it was.
    """

    asked: int
    end: int | None

    @property
    def is_question(self) -> bool:
        """Whether it only asks where the break is."""
        return self.asked == 0


@dataclass(frozen=True, slots=True)
class Map(_Decoded):
    """mmap, and i386's mmap2: `length` bytes with `protection` (`rw-`), `offset` bytes into a file.

    `hint` is where it is wished for, `start` where it is afterwards, None until then and where it failed.
    """

    hint: int
    length: int
    protection: str
    flags: frozenset[MapFlag]
    offset: int
    start: int | None

    def size(self, page: int = PAGE) -> int:
        """Return the bytes of its whole pages, of *page* bytes each."""
        return page_up(self.length, page)

    @property
    def reserves(self) -> bool:
        """Whether nobody may touch it: room is kept for later."""
        return self.protection == "---"


@dataclass(frozen=True, slots=True)
class _Range(_Decoded):
    """A call on `length` bytes from `start` on."""

    start: int
    length: int

    @property
    def end(self) -> int:
        """Behind the last byte, as it was asked."""
        return self.start + self.length

    def size(self, page: int = PAGE) -> int:
        """Return the bytes of the whole pages, of *page* bytes each, from a page's beginning."""
        return page_up(self.length, page)


@dataclass(frozen=True, slots=True)
class Unmap(_Range):
    """munmap."""


@dataclass(frozen=True, slots=True)
class Move(_Range):
    """mremap: what is mapped there gets `new_length` bytes, and may move.

    `new_start` is where it is afterwards, None until then and where it failed. A `length` of 0 makes a second mapping
    of the same shared memory.
    """

    new_length: int
    flags: frozenset[MoveFlag]
    new_start: int | None

    def new_size(self, page: int = PAGE) -> int:
        """Return the bytes of its whole pages afterwards, of *page* bytes each."""
        return page_up(self.new_length, page)

    @property
    def shrinks_in_place(self) -> bool:
        """Whether it does not grow and names no new place: what is kept stays where it is, in its parts."""
        return self.new_size() <= self.size() and not self.flags & {"fixed", "dontunmap"}


@dataclass(frozen=True, slots=True)
class Protect(_Range):
    """mprotect and pkey_mprotect: what may be done there is `protection` (`rw-`) from now on."""

    protection: str


@dataclass(frozen=True, slots=True)
class Advise(_Range):
    """madvise: `advice` is None where it only hints; `number` is MADV_… as it was given."""

    advice: Advice | None
    number: int


@dataclass(frozen=True, slots=True)
class _Locking(_Range):
    """A range whose ends need not be those of pages (mlock(2))."""

    def pages(self, page: int = PAGE) -> tuple[int, int]:
        """Return (start, bytes) of the whole pages, of *page* bytes each, that it touches."""
        first = page_down(self.start, page)
        return first, page_up(self.end - first, page)


@dataclass(frozen=True, slots=True)
class Lock(_Locking):
    """mlock and mlock2; `on_fault`: pages are locked when they come in, not brought in now."""

    on_fault: bool


@dataclass(frozen=True, slots=True)
class Unlock(_Locking):
    """munlock."""


@dataclass(frozen=True, slots=True)
class LockAll(_Decoded):
    """mlockall; `current`: what is mapped now, not only what will be."""

    current: bool


@dataclass(frozen=True, slots=True)
class UnlockAll(_Decoded):
    """munlockall."""


MemoryCall = Break | Map | Unmap | Move | Protect | Advise | Lock | Unlock | LockAll | UnlockAll

_Arguments = tuple[int, ...]


def decode(name: str, args: _Arguments, result: int | None = None, *, failed: bool = False) -> MemoryCall | None:
    """Return what the system call *name* with *args* means; None for any other, or with too few words to tell.

    *result* is what it returned, None as long as it has not; *failed*: it was refused.

    >>> decode("mmap", (0, 8192, 3, 0x22, -1, 0), 0x7F0000000000).protection
    'rw-'
    >>> decode("madvise", (0x7F0000000000, 4096, 4)).advice
    'dontneed'
    """
    words = WORDS.get(name)
    if words is None or len(args) < words:
        return None
    whole = args if len(args) == _MOST_WORDS else args + (0,) * (_MOST_WORDS - len(args))
    return _DECODERS[name](whole, None if failed else result, failed)


def memory_call(event: Syscall) -> MemoryCall | None:
    """Return what *event* means; None if it is no memory call that is decoded."""
    return decode(event.name, event.args, event.result, failed=event.errno is not None)


@lru_cache(maxsize=256)
def map_flags(bits: int) -> frozenset[MapFlag]:
    """Return mmap's flags that matter here as words.

    >>> sorted(map_flags(0x8022))
    ['anonymous', 'populate', 'private']
    """
    sharing = _SHARING.get(bits & _SHARING_BITS)
    words = frozenset(word for bit, word in _MAP_BITS.items() if bits & bit)
    return words if sharing is None else words | {sharing}


@lru_cache(maxsize=256)
def protection_of(bits: int) -> str:
    """Return PROT_… as /proc/PID/maps writes it.

    >>> protection_of(3)
    'rw-'
    """
    return "".join(letter if bits & bit else "-" for letter, bit in _PROTECTION_BITS)


@lru_cache(maxsize=256)
def _move_flags(bits: int) -> frozenset[MoveFlag]:
    return frozenset(word for bit, word in _MOVE_BITS.items() if bits & bit)


def _break(args: _Arguments, result: int | None, failed: bool) -> MemoryCall:
    return Break(args[0], result, failed=failed)


def _map(args: _Arguments, result: int | None, failed: bool) -> MemoryCall:
    hint, length, protection, flags, _descriptor, offset = args[:6]
    return Map(hint, length, protection_of(protection), map_flags(flags), offset, result, failed=failed)


def _map2(args: _Arguments, result: int | None, failed: bool) -> MemoryCall:
    return _map((*args[:5], args[5] * MMAP2_UNIT), result, failed)


def _unmap(args: _Arguments, _result: int | None, failed: bool) -> MemoryCall:
    return Unmap(args[0], args[1], failed=failed)


def _move(args: _Arguments, result: int | None, failed: bool) -> MemoryCall:
    return Move(args[0], args[1], args[2], _move_flags(args[3]), result, failed=failed)


def _protect(args: _Arguments, _result: int | None, failed: bool) -> MemoryCall:
    return Protect(args[0], args[1], protection_of(args[2]), failed=failed)


def _advise(args: _Arguments, _result: int | None, failed: bool) -> MemoryCall:
    return Advise(args[0], args[1], ADVICE.get(args[2]), args[2], failed=failed)


def _lock(args: _Arguments, _result: int | None, failed: bool) -> MemoryCall:
    return Lock(args[0], args[1], on_fault=False, failed=failed)


def _lock2(args: _Arguments, _result: int | None, failed: bool) -> MemoryCall:
    return Lock(args[0], args[1], on_fault=bool(args[2] & _LOCK_ON_FAULT), failed=failed)


def _unlock(args: _Arguments, _result: int | None, failed: bool) -> MemoryCall:
    return Unlock(args[0], args[1], failed=failed)


def _lock_all(args: _Arguments, _result: int | None, failed: bool) -> MemoryCall:
    return LockAll(current=bool(args[0] & _LOCK_CURRENT), failed=failed)


def _unlock_all(_args: _Arguments, _result: int | None, failed: bool) -> MemoryCall:
    return UnlockAll(failed=failed)


_DECODERS: Final[dict[str, Callable[[_Arguments, int | None, bool], MemoryCall]]] = {
    "brk": _break, "mmap": _map, "mmap2": _map2, "munmap": _unmap, "mremap": _move, "mprotect": _protect,
    "pkey_mprotect": _protect, "madvise": _advise, "mlock": _lock, "mlock2": _lock2, "munlock": _unlock,
    "mlockall": _lock_all, "munlockall": _unlock_all,
}  # fmt: skip
