"""What the inline recorder has in one address space: annexes, jumps to them, the ring; where it may yet be put."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from observer.code.emulation import NOTHING, Emulation
from observer.model.addresses import Mapping
from observer.model.machine import Image
from observer.tracee.breakpoints import Breakpoint
from observer.tracee.inline.annex import Annex, Hook, Plan
from observer.tracee.inline.ring import Block, Ring

__all__ = ["Space"]


class Space:
    """The state of one address space.

    `plans` are allocators that have breakpoints and might be recorded inline, by their number, `hits` how often one of
    their breakpoints was come by; `awaited` are the thread for whose first stop they wait and its maker's base.
    `hooks` are the jumps that stand, by address. `is_asleep` after a fork, until the child makes a call: its ring is
    still to be made, in the place of `inherited` bytes of its parent's. `unhooked` are the operations of functions
    whose jumps were taken out, by their numbers; `still_seen` those of them that are come by all the same, by a copy
    that the program made.
    `ours` are the stretches [start, end) of addresses that we have, or were about to have when the program was killed;
    `shared_bases` the bases that two tasks have at a time, which then are followed from outside. `images` are all
    files with code, in the order in which they were mapped.
    """

    def __init__(self, images: list[Image]) -> None:
        self.images = images
        self.plans: dict[int, Plan] = {}
        self.hits: Counter[int] = Counter()
        self.awaited = 0, 0
        self.annexes: list[Annex] = []
        self.hooks: dict[int, Breakpoint] = {}
        self._hooked: dict[int, Hook] = {}
        self.traps: set[int] = set()
        self.unhooked: dict[int, int] = {}
        self.still_seen: set[int] = set()
        self.ours: list[tuple[int, int]] = []
        self.shared_bases: set[int] = set()
        self.ring: Ring | None = None
        self.ring_address = 0
        self.is_asleep = False
        self.inherited = 0

    def fork(self) -> Space:
        """Return the copy that a forked child has: all but the ring, which is its parent's."""
        child = Space(list(self.images))
        child.plans, child.hits = dict(self.plans), Counter(self.hits)
        child.unhooked, child.still_seen = dict(self.unhooked), set(self.still_seen)
        child.annexes, child.hooks, child._hooked = list(self.annexes), dict(self.hooks), dict(self._hooked)
        child.ours = list(self.ours)
        child.traps, child.ring_address = set(self.traps), self.ring_address
        child.inherited = self.ring.size if self.ring is not None else self.inherited
        child.is_asleep = bool(self.annexes)
        return child

    def add(self, annex: Annex) -> None:
        """Take an annex in."""
        self.annexes.append(annex)
        self.traps.add(annex.start + annex.stub.help)

    def hooked(self, hook: Hook) -> None:
        """A jump stands now."""
        effect, instead_of = Emulation(len(hook.planted), NOTHING, None, "jmp"), hook.instead_of
        self.hooks[hook.address] = Breakpoint(
            hook.address, hook.code, effect, number=instead_of.number, listener=instead_of.listener,
            planted=hook.planted,
        )  # fmt: skip
        self._hooked[hook.address] = hook

    def hooks_within(self, start: int, end: int) -> list[Hook]:
        """Return the jumps of which some part lies in [start, end)."""
        return [hook for hook in self._hooked.values() if hook.address < end and start < hook.address + len(hook.code)]

    def drop(self, hooks: Iterable[Hook]) -> None:
        """Those do not stand any longer."""
        for hook in hooks:
            del self.hooks[hook.address], self._hooked[hook.address]
            if hook.function >= 0:
                self.unhooked[hook.function] = hook.instead_of.number

    def annex_at(self, address: int) -> Annex | None:
        """Return the annex that holds *address*, None if it is no code of ours."""
        return next((annex for annex in self.annexes if annex.start <= address < annex.end), None)

    def original(self, address: int) -> int:
        """Return what an address of ours stands for in the program's own code; the same if it is none of ours."""
        annex = self.annex_at(address)
        return annex.original(address) if annex is not None else address

    def block_of(self, base: int) -> Block | None:
        """Return the block of the thread with this base."""
        return self.ring.blocks.get(base) if self.ring is not None else None

    def without_ours(self, mappings: Iterable[Mapping]) -> list[Mapping]:
        """Return *mappings* but for what was put there for the recorder."""
        return [each for each in mappings if not any(low < each.end and each.start < high for low, high in self.ours)]

    def close(self) -> None:
        """Let go of the shared memory."""
        if self.ring is not None:
            self.ring.close()
            self.ring = None
