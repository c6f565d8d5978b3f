"""The allocator family: each operation's arguments, in the order of the C prototype (malloc(3), posix_memalign(3)).

The operators of C++ are among them, where they do not go through malloc.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = [
    "ALLOCATES", "ALLOCATING", "FAMILY", "FREEING", "FREES", "LONG", "MALLOPT", "OPERATIONS", "OPERATORS",
    "RESIZES", "RESIZING", "STORING", "Operation", "kind_of",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Operation:
    """What one function of the family takes and gives.

    `arguments` maps the roles `pointer`, `size`, `count`, `alignment`, `slot` (the place posix_memalign stores
    its result in), `parameter` and `value` (those of mallopt) to the position of the argument.
    """

    name: str
    arguments: dict[str, int]
    allocates: bool
    releases: bool


def _operation(name: str, roles: str, *, allocates: bool = True, releases: bool = False) -> Operation:
    return Operation(name, {role: i for i, role in enumerate(roles.split())}, allocates, releases)


FAMILY: Final = (
    _operation("malloc", "size"),
    _operation("calloc", "count size"),
    _operation("realloc", "pointer size", releases=True),
    _operation("free", "pointer", allocates=False, releases=True),
    _operation("reallocarray", "pointer count size", releases=True),
    _operation("memalign", "alignment size"),
    _operation("aligned_alloc", "alignment size"),
    _operation("posix_memalign", "slot alignment size"),
    _operation("valloc", "size"),
    _operation("pvalloc", "size"),
    _operation("malloc_trim", "size", allocates=False),
    _operation("malloc_usable_size", "pointer", allocates=False),
    _operation("cfree", "pointer", allocates=False, releases=True),
    _operation("operator new", "size"),
    _operation("operator new (aligned)", "size alignment"),
    _operation("operator delete", "pointer", allocates=False, releases=True),
    _operation("mallopt", "parameter value", allocates=False),
)
"""Index in this tuple is the number that spools carry; append only."""

OPERATIONS: Final = {operation.name: operation for operation in FAMILY}
FREEING: Final = frozenset(operation.name for operation in FAMILY if operation.releases and not operation.allocates)
"""The operations that only give back."""
ALLOCATING: Final = frozenset(operation.name for operation in FAMILY if operation.allocates)
RESIZING: Final = frozenset(operation.name for operation in FAMILY if operation.releases and operation.allocates)
"""realloc and its kin: they take a piece and give one."""

ALLOCATES: Final = 1
RESIZES: Final = 2
FREES: Final = 3
"""What a call does, as far as pieces go, as a number; 0: nothing."""


def kind_of(op: str) -> int:
    """Return what an operation does: ALLOCATES, RESIZES, FREES or 0."""
    return FREES if op in FREEING else RESIZES if op in RESIZING else ALLOCATES if op in ALLOCATING else 0


STORING: Final = frozenset(i for i, each in enumerate(FAMILY) if each.name == "posix_memalign")
"""The numbers of those that store their result where the first argument points."""
LONG: Final = frozenset(i for i, each in enumerate(FAMILY) if len(each.arguments) > 2)
"""The numbers of those of three arguments."""

MALLOPT: Final = {
    1: "M_MXFAST", -1: "M_TRIM_THRESHOLD", -2: "M_TOP_PAD", -3: "M_MMAP_THRESHOLD", -4: "M_MMAP_MAX",
    -5: "M_CHECK_ACTION", -6: "M_PERTURB", -7: "M_ARENA_TEST", -8: "M_ARENA_MAX",
}  # fmt: skip
"""The parameters of mallopt(3) by number (malloc.h of glibc)."""

_ALIGNED: Final = "St11align_val_t"
_NOTHROW: Final = "RKSt9nothrow_t"
OPERATORS: Final = {
    **{f"_Zn{kind}m{last}": "operator new" for kind in "wa" for last in ("", _NOTHROW)},
    **{f"_Zn{kind}m{_ALIGNED}{last}": "operator new (aligned)" for kind in "wa" for last in ("", _NOTHROW)},
    **{
        f"_Zd{kind}Pv{middle}{last}": "operator delete"
        for kind in "la"
        for middle in ("", "m", _ALIGNED, f"m{_ALIGNED}")
        for last in ("", _NOTHROW)
    },
}
"""The C++ symbols of the replaceable operators (new(3) of the C++ standard library, Itanium ABI), single and array."""
