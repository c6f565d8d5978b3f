"""Strategies that make legal workloads: whatever they draw, the book's machine takes it.

Names stand for pieces and mappings that are in use; accesses lie inside them; children end. What a workload may contain
is chosen by the caller: allocator calls only, or everything that the language has, but accesses that end in a signal.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import strategies as st

from observer.simulator.workload import Operation

__all__ = ["allocator_steps", "allocator_workloads", "sizes", "workloads"]

PAGE = 4096

sizes = st.one_of(
    st.integers(0, 200),
    st.integers(0, 9000),
    st.sampled_from([0, 1, 15, 16, 17, 24, 25, 31, 32, 33, 4079, 4080, 4081, 8176, 65_536, 131_064]),
)
"""Bytes asked for: small ones, some of several pages, and the edges of rounding."""

allocator_steps = st.lists(
    st.tuples(
        st.sampled_from(["malloc", "malloc", "malloc", "memalign", "realloc", "free", "free"]),
        sizes,
        st.integers(0, 1 << 16),
    ),
    min_size=40,
    max_size=160,
)
"""(operation, size, a number to choose a piece or an alignment by)."""


@dataclass
class _Held:
    """What a process holds: sizes of pieces and mappings by name; `locked` and forbidden ones are left alone."""

    pieces: dict[str, int] = field(default_factory=dict)
    mappings: dict[str, int] = field(default_factory=dict)

    def copy(self) -> _Held:
        return _Held(dict(self.pieces), dict(self.mappings))


_MAPS = ("map", "populate", "shared", "file")
_ADVICE = ("lock", "unlock", "dontneed", "lazyfree", "hugepage", "nohugepage", "writable")


@st.composite
def workloads(draw: st.DrawFn, *, everything: bool = True, most: int = 60) -> list[Operation]:
    """Return a legal workload of up to *most* operations, and the exits of what was forked."""
    steps = draw(
        st.lists(st.tuples(st.integers(0, 99), sizes, st.integers(0, 1 << 16)), min_size=min(most, 20), max_size=most)
    )
    made: list[Operation] = []
    stack = [_Held()]
    for chance, size, choice in steps:
        operation = _step(stack, chance, size, choice, f"n{len(made)}", everything=everything)
        if operation is not None:
            made.append(operation)
    made += [Operation("exit")] * (len(stack) - 1)
    return [Operation(op.kind, op.name, op.numbers, line) for line, op in enumerate(made, 1)]


def allocator_workloads() -> st.SearchStrategy[list[Operation]]:
    """Workloads of calls, touches and forks alone."""
    return workloads(everything=False)


def _step(stack: list[_Held], chance: int, size: int, choice: int, name: str, *, everything: bool) -> Operation | None:
    held = stack[-1]
    if chance < 35 or not held.pieces:
        return _allocate(held, size, choice, name)
    if chance < 70:
        return _use_piece(held, chance, size, choice)
    if chance < 74:
        return _fork_or_exit(stack, choice)
    if not everything:
        return _access(_pick(held.pieces, choice), held.pieces, size, choice)
    if chance < 84 or not held.mappings:
        held.mappings[name] = max(size, 1)
        return Operation(_MAPS[choice % 4], name, (held.mappings[name],))
    if chance < 90:
        return Operation(_ADVICE[choice % 7], _pick(held.mappings, choice))
    if chance < 93:
        gone = _pick(held.mappings, choice)
        del held.mappings[gone]
        return Operation("unmap", gone)
    return _access(_pick(held.mappings, choice), held.mappings, size, choice)


def _pick(names: dict[str, int], choice: int) -> str:
    return list(names)[choice % len(names)]


def _allocate(held: _Held, size: int, choice: int, name: str) -> Operation:
    kind = ("malloc", "malloc", "calloc", "memalign")[choice % 4]
    held.pieces[name] = size * (1 + choice % 3) if kind == "calloc" else size
    if kind == "calloc":
        return Operation(kind, name, (1 + choice % 3, size))
    return Operation(kind, name, (1 << choice % 13, size) if kind == "memalign" else (size,))


def _use_piece(held: _Held, chance: int, size: int, choice: int) -> Operation | None:
    name = _pick(held.pieces, choice)
    if chance < 50:
        del held.pieces[name]
        return Operation("free", name)
    if chance < 60:
        held.pieces[name] = max(size, 1)
        return Operation("realloc", name, (held.pieces[name],))
    return _access(name, held.pieces, size, choice)


def _access(name: str, known: dict[str, int], size: int, choice: int) -> Operation | None:
    if not known[name]:
        return None
    offset = choice % known[name]
    return Operation("read" if choice % 3 == 0 else "touch", name, (offset, 1 + size % (known[name] - offset)))


def _fork_or_exit(stack: list[_Held], choice: int) -> Operation:
    if len(stack) < 4 and (choice % 2 or len(stack) == 1):
        stack.append(stack[-1].copy())
        return Operation("fork")
    stack.pop()
    return Operation("exit")
