"""What is known of one process at one moment of the replay: address space, code, live pieces; and words for addresses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from observer.instruments.places import CodeMap
from observer.model.addresses import AddressSpace, Mapping, page_up
from observer.trace.live import LiveChunks

__all__ = ["ProcessState", "apply_syscall"]

_STACK_REACH: Final = 1 << 30
_MAP_SHARED_BITS: Final = 0x3
_MREMAP_DONTUNMAP: Final = 4


@dataclass(slots=True)
class ProcessState:
    """One address space and its contents during the replay. Threads and vfork children share theirs."""

    space: AddressSpace = field(default_factory=AddressSpace)
    code: CodeMap = field(default_factory=CodeMap)
    live: LiveChunks = field(default_factory=LiveChunks)
    files: dict[int, str] = field(default_factory=dict)
    path: str = ""

    def fork(self) -> ProcessState:
        """Return the copy that a fork child begins with."""
        return ProcessState(self.space.copy(), self.code.copy(), self.live.copy(), dict(self.files), self.path)

    def mapping_name(self, address: int) -> str | None:
        """Return what maps *address*: `[heap]`, `map#k`, `[stack]`, a path."""
        mapping = self.space.find(address)
        if mapping is not None:
            return mapping.path or "anonymous"
        return "[stack]" if self._in_stack_reach(address) else None

    def _in_stack_reach(self, address: int) -> bool:
        # The stack grows by faults, without a call that could be replayed.
        return any(m.path == "[stack]" and m.start - _STACK_REACH <= address < m.end for m in self.space.mappings[-6:])

    def where(self, address: int) -> str | None:
        """Name *address* in words that survive address randomisation."""
        space = self.space
        if space.break_start and space.break_start <= address < page_up(space.break_end):
            return f"heap+{address - space.break_start:#x}"
        mapping = space.find(address)
        if mapping is None:
            return "stack" if self._in_stack_reach(address) else None
        if mapping.path.startswith("map#"):
            return f"{mapping.path}+{mapping.offset + address - mapping.start:#x}"
        if mapping.path == "[stack]":
            return "stack"
        if mapping.path.startswith("/"):
            image = self.code.bias_of(mapping.path)
            base = image if image is not None else mapping.start - mapping.offset
            return f"{mapping.path.rsplit('/', 1)[-1]}+{address - base:#x}"
        return f"{mapping.path or 'anonymous'}+{address - mapping.start:#x}"


def _protection(bits: int) -> str:
    return "".join(letter if bits & bit else "-" for letter, bit in (("r", 1), ("w", 2), ("x", 4)))


def apply_syscall(state: ProcessState, name: str, args: list[int], result: int) -> None:
    """Replay one successful memory system call on the address space (mmap(2), munmap(2), mremap(2), brk(2))."""
    space = state.space
    if name == "brk":
        space.set_break(result)
    elif name == "mmap":
        path = state.files.pop(result, "")
        length = args[1]
        shared = args[3] & _MAP_SHARED_BITS in (1, 3)
        space.map(result, length, _protection(args[2]), path, args[5] if path else 0, shared=shared)
    elif name == "munmap":
        space.unmap(args[0], args[1])
    elif name in ("mprotect", "pkey_mprotect"):
        space.protect(args[0], args[1], _protection(args[2]))
    elif name == "mremap":
        space.remap(args[0], args[1], result, args[2], keep_old=bool(args[3] & _MREMAP_DONTUNMAP))


def mappings_from(notes: list[dict[str, Any]]) -> list[Mapping]:
    """Return mappings written into a note."""
    return [Mapping(**fields) for fields in notes]
