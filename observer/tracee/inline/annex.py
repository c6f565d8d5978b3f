"""What is put near a library to serve its functions: the stub, descriptors of functions and ends, landings.

All of it is code and constants, the same for all threads; it is never written to by the program.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final, NamedTuple

from observer.arch.known import NATIVE
from observer.code.elf import Elf
from observer.code.emulation import NOTHING, Emulation
from observer.code.exits import exits_of
from observer.code.instructions import emulation_of
from observer.code.moving import Stretch, covered
from observer.linux.procfs import PAGE
from observer.recording.slots import FUNCTION, HAS_MORE, STORES_ITS_RESULT
from observer.tracee.breakpoints import NO_CALL, Breakpoint
from observer.tracee.inline.assembled import Stub
from observer.tracee.inline.landing_code import landing_code_of

__all__ = ["CAN_JUMP_FAR", "Annex", "Hook", "Landing", "Plan", "lay_out", "room_for", "stretches_of"]

_DESCRIPTOR: Final = struct.Struct("<5QII4QqQ32x")
"""What most calls need of it lies in its first 64 bytes."""
CAN_JUMP_FAR: Final = landing_code_of(NATIVE).can_jump_far
"""Whether functions' beginnings give way to jumps that are the same wherever they stand, as a rule."""
_RANGE: Final = struct.Struct("<QQ")
_WORDS: Final = 4096
_LANDING: Final = 128
"""Bytes that no landing exceeds."""


@dataclass(frozen=True)
class Plan:
    """The functions of one allocator in one file, as breakpoints stand in them, by their file addresses.

    `entries` are by where functions begin, `ends` by where they end.
    """

    elf: Elf
    bias: int
    entries: Mapping[int, Breakpoint]
    ends: Mapping[int, Breakpoint]


class Hook(NamedTuple):
    """A jump that takes the place of a stretch of code: its address, what stands there now, what stood there.

    `instead_of` is the breakpoint that it is instead of, which may stand behind that code. `function` is the number of
    the function that begins there, -1 for none.
    """

    address: int
    planted: bytes
    code: bytes
    instead_of: Breakpoint
    function: int = -1


class Landing(NamedTuple):
    """What a jump leads to, by addresses from `start` to `end`.

    From `lead` on it goes to the stub, and comes back to `resume`; an int3 stands in front of that, at `trap`. At an
    entry, what stood at `origin` is done behind `resume`; at an end, in front of `lead`, and a `ret` stands at
    `resume`. `through` is where a jump that ends a function is made a call, 0 elsewhere.
    """

    start: int
    lead: int
    trap: int
    resume: int
    end: int
    origin: int
    is_entry: bool
    through: int = 0


@dataclass
class Annex:
    """What was laid out at the address `start`: `code`, and what must be known of it.

    `hooks` are the jumps to be put into the library, `points` the int3s of the annex by their addresses, `landings` by
    the addresses of their descriptors, `places` and `functions` as in the note `Annexed`. `kept` names what keeps its
    breakpoint. `words` stand at the address `words_at`, in the lowest 2 GiB: jumps lead through them.
    """

    start: int
    stub: Stub
    code: bytearray
    hooks: list[Hook] = field(default_factory=list)
    points: dict[int, Breakpoint] = field(default_factory=dict)
    landings: dict[int, Landing] = field(default_factory=dict)
    places: list[tuple[int, int, int]] = field(default_factory=list)
    functions: list[tuple[int, int, int]] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)
    words_at: int = 0
    words: bytearray = field(default_factory=bytearray)

    @property
    def end(self) -> int:
        """The address behind it."""
        return self.start + len(self.code)

    def original(self, address: int) -> int:
        """Return what an address of a landing stands for in the library."""
        index = bisect_right(self.places, (address, 1 << 62, 0)) - 1
        return self.places[index][2] if index >= 0 else address

    def landing_at(self, address: int) -> Landing | None:
        """Return the landing that holds *address*, None if it is not in one."""
        return next((each for each in self.landings.values() if each.start <= address < each.end), None)

    def here(self, address: int, point: Breakpoint) -> int:
        """Return where a thread goes on at *address*, behind the breakpoint *point*; the same where nothing moved.

        Behind a mark to land on the jump stands by which a call begins, and *point* has told of this one.
        """
        for hook in self.hooks:
            if hook.instead_of is point and point.address < hook.address == address:
                return next(each.resume for each in self.landings.values() if each.origin == address and each.is_entry)
        for new, _length, old in self.places:
            if old == address and any(hook.address < old < hook.address + len(hook.code) for hook in self.hooks):
                return new
        return address


def room_for(plan: Plan, stub: Stub) -> int:
    """Return how many bytes an annex for *plan* takes: whole pages."""
    size = len(stub.code) + 2 * (len(plan.entries) + 2 * len(plan.ends)) * (_DESCRIPTOR.size + _LANDING)
    return -(-size // PAGE) * PAGE


def lay_out(
    plan: Plan, stub: Stub, start: int, *, words: int, table: int, libc: Sequence[tuple[int, int]], mask: int,
    number: Callable[[Breakpoint], int], stores: Collection[int], long: Collection[int],
    stands: Callable[[Stretch], bool],
) -> Annex:  # fmt: skip
    """Return an annex for *plan* at the address *start*.

    Args:
        words: a page in the lowest 2 GiB, 0 if there is none.
        table: where the program has the threads' table.
        libc: the code whose callers are looked for on the stack, [start, end) each, no more than the stub has room for.
        mask: the bits of a return address that are no signature's.
        number: gives a function its number, told the breakpoint by which it is followed from outside.
        stores: the operations that store their result where the first argument points.
        long: those of three arguments.
        stands: says whether a stretch, by its address in memory, is as the file has it, but for our breakpoints.
    """
    return _Layout(plan, stub, start, words, table, libc, mask, number, stores, long, stands).annex()


@lru_cache(maxsize=256)
def stretches_of(
    elf: Elf, entries: tuple[int, ...], ends: tuple[int, ...], jumps: frozenset[int], *, far: bool
) -> Mapping[int, Stretch | None]:  # fmt: skip
    """Return what can give way at the *entries* and *ends* of functions; at *jumps* among these a jump ends them.

    Where functions begin it is to a jump that may stand anywhere, if there is room for it, and if it is to be *far*.
    """
    code, targets = landing_code_of(elf.architecture), {*entries}
    for entry in entries:
        targets |= exits_of(elf, entry).targets
    found = {entry: code.entry_stretch(elf, entry, targets, far=far) for entry in entries}
    for place in ends:
        found[place] = code.exit_stretch(elf, place, targets, is_jump=place in jumps)
    return found


class _Layout:
    def __init__(
        self, plan: Plan, stub: Stub, start: int, words: int, table: int, libc: Sequence[tuple[int, int]], mask: int,
        number: Callable[[Breakpoint], int], stores: Collection[int], long: Collection[int],
    stands: Callable[[Stretch], bool],
    ) -> None:  # fmt: skip
        self._plan, self._stub, self._mask = plan, stub, mask
        self._code = landing_code_of(plan.elf.architecture)
        self._trap = self._code.architecture.trap
        self._libc = min((low for low, _high in libc), default=0), max((high for _low, high in libc), default=0)
        self._number, self._stores, self._long, self._stands = number, stores, long, stands
        self._out = Annex(start, stub, bytearray(room_for(plan, stub)), words_at=words)
        self._put(start, stub.code)
        self._put(start + stub.table, table.to_bytes(8, "little"))
        self._put(start + stub.ranges, b"".join(_RANGE.pack(low, high - low) for low, high in libc))
        self._descriptor = start + -(-len(stub.code) // 64) * 64
        self._at = self._descriptor + (len(plan.entries) + 2 * len(plan.ends)) * _DESCRIPTOR.size
        jumps = frozenset(place for place, point in plan.ends.items() if not point.emulation.is_return)
        self._stretches = stretches_of(plan.elf, tuple(plan.entries), tuple(plan.ends), jumps, far=bool(words))
        self._taken: list[Stretch] = []

    def annex(self) -> Annex:
        plan, kept = self._plan, set()
        for entry, point in plan.entries.items():
            if not self._entry(entry, point):
                kept.add(point.address - plan.bias)
                self._out.kept.append(point.number)
        for place, point in plan.ends.items():
            stretch = self._end_stretch(place)
            others = kept | {*plan.ends} - {place}
            if stretch is not None and not any(stretch.address <= at < stretch.end for at in others):
                self._end(stretch, point)
        self._out.places.sort()
        return self._out

    def _put(self, address: int, code: bytes) -> None:
        at = address - self._out.start
        self._out.code[at : at + len(code)] = code

    def _write(self, code: bytes) -> None:
        self._put(self._at, code)
        self._at += len(code)

    def _move(self, stretch: Stretch) -> bool:
        """Write the instructions of *stretch*; return whether they can be done here."""
        address = stretch.address + self._plan.bias
        new = self._code.moved(stretch.code, address, self._at)
        if new is None:
            return False
        self._out.places += [(self._at + at, length, old) for at, length, old in new.places]
        self._write(new.code)
        return True

    def _give_way(self, stretch: Stretch, landing: int, instead_of: Breakpoint, function: int = -1) -> None:
        self._taken.append(stretch)
        address = stretch.address + self._plan.bias
        planted = self._code.jump(address, landing)
        if function >= 0 and self._out.words_at and len(self._out.words) < _WORDS:
            far = self._code.far_jump(self._out.words_at + len(self._out.words), len(stretch.code))
            if far is not None:
                planted = far
                self._out.words += landing.to_bytes(8, "little")
        self._out.hooks.append(Hook(address, planted, stretch.code, instead_of, function))

    def _lead(
        self, to: int, *words: int, number: int = 0, tails: int = 0, entry: int = 0, operation: int = 0, saved: int = 0
    ) -> tuple[int, int]:
        """Write what loads a new descriptor and goes to the stub; return the descriptor, and where that begins."""
        begin, descriptor = self._at, self._descriptor
        self._descriptor += _DESCRIPTOR.size
        self._write(self._code.lead(begin, descriptor, self._out.start + to))
        slow = self._at
        given = [*words, *[0] * (4 - len(words))]
        resume = slow + len(self._trap.code)
        self._put(
            descriptor, _DESCRIPTOR.pack(resume, *given, number, 0, tails, slow, entry, operation, saved, self._mask)
        )  # fmt: skip
        return descriptor, begin

    def _entry(self, entry: int, point: Breakpoint) -> bool:
        stretch = self._stretches[entry]
        if stretch is None or point.leaves or any(stretch.address <= end < stretch.end for end in self._plan.ends):
            return False  # it may end so soon that the end would give way, too: that is followed from outside
        if covered(self._taken, stretch) or not self._stands(self._in_memory(stretch)):
            return False
        landing, mark, trap = self._at, len(self._out.places), self._trap.code
        slow = Breakpoint(
            landing + len(self._code.lead(landing, landing, landing)), self._code.nop,
            Emulation(len(trap), NOTHING, None, "nop"), number=point.number, listener=point.listener, is_certain=False,
            planted=trap, home=point.home, entry=point.entry, tails=point.tails, implementation=point.implementation,
            saved_return=point.saved_return,
        )  # fmt: skip
        number = self._number(slow)
        self._out.functions.append((number, slow.number, slow.implementation))
        number |= STORES_ITS_RESULT if point.number in self._stores else 0
        number |= HAS_MORE if point.number in self._long else 0
        home, libc = point.home, self._libc
        descriptor, lead = self._lead(
            self._stub.enter, home[0], home[1] - home[0], libc[0], libc[1] - libc[0], number=number, entry=point.entry,
            tails=sum(1 << tail for tail in point.tails), operation=1 << point.number, saved=point.saved_return or 0,
        )  # fmt: skip
        self._write(trap)
        self._out.places.append((landing, self._at - landing, stretch.address + self._plan.bias))
        if not self._move(stretch):
            del self._out.places[mark:]
            return False
        self._write(self._code.jump(self._at, stretch.end + self._plan.bias))
        self._out.points[slow.address] = slow
        origin = stretch.address + self._plan.bias
        self._out.landings[descriptor] = Landing(
            landing, lead, slow.address, slow.address + len(trap), self._at, origin, is_entry=True
        )  # fmt: skip
        self._give_way(stretch, landing, point, number & FUNCTION)
        return True

    def _in_memory(self, stretch: Stretch) -> Stretch:
        return stretch._replace(address=stretch.address + self._plan.bias)

    def _end_stretch(self, place: int) -> Stretch | None:
        stretch = self._stretches[place]
        if stretch is None or covered(self._taken, stretch) or not self._stands(self._in_memory(stretch)):
            return None
        return stretch

    def _end(self, stretch: Stretch, point: Breakpoint) -> None:
        """Have the end of a function at *point* come by the stub."""
        place = point.address - self._plan.bias
        landing, mark = self._at, len(self._out.places)
        if not point.emulation.is_return:
            self._end_by_jump(stretch, point)
            return
        if not self._move(Stretch(stretch.address, stretch.code[: place - stretch.address])):
            del self._out.places[mark:]
            return
        self._at_return(point, landing)
        self._give_way(stretch, landing, point)

    def _at_return(self, point: Breakpoint, start: int) -> int:
        """Write a return that is come by, for the landing that has its *start* already; return where it leads off."""
        descriptor, begin = self._lead(self._stub.leave)
        trap, at, architecture = self._trap.code, self._at, self._code.architecture
        code = self._code.return_of(point.code if point.emulation.is_return else b"")
        emulation = emulation_of(code, at + len(trap), architecture)
        assert emulation is not None
        self._out.points[at] = replace(
            point, address=at, code=self._code.nop + code, emulation=emulation, planted=trap + code,
            goes_on=self._trap.behind > 0, is_certain=False, leaves=True, number=NO_CALL, before=b"",
        )  # fmt: skip
        self._write(trap + code)
        self._out.places.append((begin, self._at - begin, point.address))
        self._out.landings[descriptor] = Landing(
            start, begin, at, at + len(trap), self._at, point.address, is_entry=False
        )  # fmt: skip
        return begin

    def _end_by_jump(self, stretch: Stretch, point: Breakpoint) -> None:
        """Write a jump to another file's function: where it ends an open call, a call and a `ret` take its place."""
        target = self._code.target(stretch.code, point.address)
        if abs(target - self._at) > self._code.reach:
            return
        back = self._at_return(point, self._at)
        through = self._at
        self._write(self._code.call_instead(target, through, back))
        descriptor, landing = self._lead(self._stub.tail, through)
        at, trap = self._at, self._trap.code
        jump = self._code.jump(at + len(trap), target)
        emulation = emulation_of(jump, at + len(trap), self._code.architecture)
        assert emulation is not None
        self._out.points[at] = replace(
            point, address=at, code=self._code.nop, emulation=emulation, planted=trap, is_certain=False, before=b""
        )
        self._write(trap + jump)
        self._out.landings[descriptor] = Landing(
            through, landing, at, at + len(trap), self._at, point.address, is_entry=False, through=through
        )
        self._out.places.append((through, self._at - through, point.address))
        self._give_way(stretch, landing, point)
