"""Random workloads from a seed: the same seed, profile and length give the same operations.

A profile says which sizes are asked for and how often which operation comes; all pieces are freed in the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Final

from observer.errors import UsageError
from observer.simulator.workload import Operation

__all__ = ["PROFILES", "generate"]

_LIVE: Final = 200


def _small(random: Random) -> int:
    return random.randrange(1, 1200)


def _edges(random: Random) -> int:
    """Sizes at which real allocators change their ways."""
    edge = random.choice((8, 24, 120, 136, 504, 1016, 1032, 1040, 4080, 65520, 131048, 131064, 262144))
    return max(edge + random.randrange(-9, 10), 0)


def _mixed(random: Random) -> int:
    return int(2 ** random.uniform(3, 18)) if random.random() < 0.9 else random.randrange(1 << 19)


def _large(random: Random) -> int:
    return random.randrange(1 << 14, 1 << 21)


PROFILES: Final[dict[str, tuple[Callable[[Random], int], dict[str, int]]]] = {
    "small": (_small, {"malloc": 50, "free": 40, "calloc": 4, "realloc": 4, "touch": 2}),
    "edges": (_edges, {"malloc": 45, "free": 38, "calloc": 4, "realloc": 8, "memalign": 2, "touch": 3}),
    "mixed": (_mixed, {"malloc": 40, "free": 34, "calloc": 6, "realloc": 10, "memalign": 3, "touch": 7}),
    "large": (_large, {"malloc": 35, "free": 33, "calloc": 4, "realloc": 8, "touch": 12, "read": 6, "dontneed": 2}),
}
"""Sizes, and the weight of each operation."""


def generate(seed: int, count: int, profile: str = "mixed") -> Iterator[Operation]:
    """Yield *count* random operations and the frees of what is left.

    Raises:
        UsageError: there is no such profile.
    """
    if profile not in PROFILES:
        raise UsageError(f"there is no profile {profile!r}", "", ", ".join(PROFILES))
    size_of, weights = PROFILES[profile]
    random = Random(f"{seed} {profile}")
    kinds, shares = list(weights), list(weights.values())
    pieces: list[tuple[str, int]] = []
    made = 0
    for line in range(1, count + 1):
        kind = random.choices(kinds, shares)[0]
        if not pieces or (kind not in ("malloc", "calloc", "memalign") and len(pieces) < 2):
            kind = "malloc"
        elif len(pieces) >= _LIVE and kind in ("malloc", "calloc", "memalign"):
            kind = "free"
        if kind in ("malloc", "calloc", "memalign"):
            made += 1
            operation, size = _make(kind, f"p{made}", size_of(random), random, line)
            pieces.append((f"p{made}", size))
        else:
            operation = _use(kind, pieces, size_of, random, line)
        yield operation
    for name, _size in pieces:
        count += 1
        yield Operation("free", name, (), count)


def _make(kind: str, name: str, size: int, random: Random, line: int) -> tuple[Operation, int]:
    if kind == "calloc":
        each = random.choice((1, 8, 24))
        number = -(-size // each)
        return Operation(kind, name, (number, each), line), number * each
    if kind == "memalign":
        return Operation(kind, name, (1 << random.randrange(4, 13), size), line), size
    return Operation(kind, name, (size,), line), size


def _use(
    kind: str, pieces: list[tuple[str, int]], size_of: Callable[[Random], int], random: Random, line: int
) -> Operation:
    index = random.randrange(len(pieces))
    name, size = pieces[index]
    if kind == "free":
        pieces[index] = pieces[-1]
        pieces.pop()
        return Operation(kind, name, (), line)
    if kind == "realloc":
        pieces[index] = name, max(size_of(random), 1)
        return Operation(kind, name, (pieces[index][1],), line)
    if kind in ("touch", "read") and size:
        offset = random.randrange(size)
        return Operation(kind, name, (offset, random.randrange(1, size - offset + 1)), line)
    return Operation("dontneed", name, (), line)
