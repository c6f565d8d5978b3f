"""Facts about the ways into the kernel: through which gate a system call came in, and what never came so far."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from observer.labs.language import BadExpression
from observer.labs.program import Program, is_on
from observer.labs.values import Unknown, Value
from observer.model.events import Syscall
from observer.model.selection import VDSO_CALLS

__all__ = ["FACTS", "gate", "gates", "require_recorded", "transfers", "vdso"]

_GATES: Final = ("int80", "syscall", "sysenter")
_VDSO: Final = "[vdso]"
_PREFIX: Final = "__vdso_"


def gates(program: Program, gate: str = "", name: str = "", line: str = "") -> Value:
    """System calls, of those recorded, that the program's own lines made; *gate*: "syscall", "int80", "sysenter"."""
    if gate not in ("", *_GATES):
        raise BadExpression(f"gates: gate is one of {', '.join(_GATES)}")
    if name:
        require_recorded(program, name)
    found = [event for event in _own(program, line) if gate in ("", event.gate) and name in ("", event.name)]
    if not found and gate == "int80" and _is_closed(program):
        return Unknown("this kernel is built without the gate int 0x80")
    return len(found)


def _own(program: Program, line: str) -> Iterator[Syscall]:
    return (event for event in program.syscalls if program.is_own(event) and is_on(event.site, line))


def _is_closed(program: Program) -> bool:
    """Whether int 0x80 was tried and refused, as a kernel does that has no table of i386 (CONFIG_IA32_EMULATION)."""
    return any(event.exception == "#GP" and event.instruction == "int 0x80" for event in program.signals)


def gate(program: Program, line: str = "") -> Value:
    """The gate of the first system call that the program's own lines made: syscall, int80, sysenter; or none."""
    return next((event.gate for event in _own(program, line)), "none")


def vdso(program: Program, function: str = "", line: str = "") -> Value:
    """Calls of *function* ("clock_gettime") that the vDSO answered without entering the kernel."""
    recorded = program.meta.request.syscalls
    if recorded is not None and not VDSO_CALLS.intersection(recorded):
        raise BadExpression("vdso: nothing of it is recorded: lab.toml, [run] trace = memory,clock_gettime")
    if program.meta.ends and not any(mapping.path == _VDSO for end in program.meta.ends for mapping in end.mappings):
        return Unknown("this kernel lends programs no vDSO")
    entered = {event.within for event in program.syscalls}
    found = (call for call in program.libraries if call.module == _VDSO and is_on(call.site, line))
    return sum(function in ("", call.function.removeprefix(_PREFIX)) and call.n not in entered for call in found)


def transfers(program: Program, name: str, line: str = "") -> Value:
    """Bytes that the program's own lines moved by the system calls *name* ("read", "write" …)."""
    require_recorded(program, name)
    return sum(event.result or 0 for event in _own(program, line) if event.name == name and not event.errno)


def require_recorded(program: Program, name: str) -> None:
    """Raise BadExpression where system calls *name* are not recorded: that none was seen says nothing then."""
    recorded = program.meta.request.syscalls
    if recorded is not None and name not in recorded:
        raise BadExpression(f"{name} is not recorded: name it in lab.toml, [run] trace = memory,{name}")


FACTS: Final = (gates, gate, vdso, transfers)
