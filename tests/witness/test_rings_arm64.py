"""What the observer tells of refused instructions and addresses on arm64, beside the handlers of the program and strace."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable

import pytest

from observer.model.events import Signal
from observer.model.signals import number_of_signal
from tests.conftest import needs
from tests.recordings import Recorded
from tests.witness.straced import strace_run
from tests.witness.test_refused import names_in

pytestmark = pytest.mark.skipif(os.uname().machine != "aarch64", reason="the exceptions are those of AArch64")

Sample = Callable[[str], str]
Record = Callable[..., Recorded]

PRIVILEGED = {
    "mrs_sctlr": "mrs ", "mrs_ttbr": "mrs ", "mrs_level": "mrs ", "msr_vbar": "msr vbar_el1,", "tlbi": "tlbi vmalle1",
}  # fmt: skip
"""How each instruction is written."""
FORBIDDEN = {
    "kernel_load": ("DABT", "kernel address", "read", None),
    "kernel_store": ("DABT", "kernel address", "write", None),
    "non_canonical": ("DABT", "nothing mapped", "read", None),
    "null_load": ("DABT", "null pointer", "read", None),
    "unmapped_load": ("DABT", "nothing mapped", "read", None),
    "unmapped_store": ("DABT", "nothing mapped", "write", None),
    "read_only_store": ("DABT", "read-only", "write", "r--"),
    "no_access_load": ("DABT", "no access", "read", "---"),
    "jump_into_data": ("IABT", "not executable", "exec", "rw-"),
    "beyond_file": ("DABT", "beyond the file", "read", "r--"),
    "stack_overrun": ("DABT", "stack overrun", "write", None),
    "undefined": ("UNDEF", None, None, None),
}
"""Exception, reason, access, and what the mapping allows."""
CONSTANT = ("DABT", "read-only", "write")
"""Of a constant's, the linker chooses the mapping."""


def by_deed(recorded: Recorded) -> dict[str, Signal]:
    names = [name for name in names_in(recorded.facts) if recorded.facts[f"{name}_signal"] != "0"]
    return dict(zip(names, recorded.signals, strict=True))


@pytest.mark.parametrize("name", ["privileged", "forbidden"])
def test_arm64_signals_are_those_of_the_handler(name: str, sample: Sample, recorded: Record) -> None:
    run = recorded(sample(name), options=("-q",))
    assert run.status == 0
    run.assert_balanced()
    for deed, event in by_deed(run).items():
        wanted = [int(run.facts[f"{deed}_{what}"]) for what in ("signal", "si_code", "fault_address")]
        assert [number_of_signal(event.signal), event.code, event.address] == wanted, deed
        assert (event.ring, event.fatal) == (3, False), deed
        assert event.site is not None, deed
        assert (event.site.file or "").endswith(f"/{name}.c"), deed
        assert event.site.line == int(run.facts[f"line_{deed}"]), deed


def test_arm64_privileged_instructions_are_undefined_for_a_program(sample: Sample, recorded: Record) -> None:
    seen = by_deed(recorded(sample("privileged"), options=("-q",)))
    assert {name: (event.exception, event.reason, event.access) for name, event in seen.items()} == dict.fromkeys(
        PRIVILEGED, ("UNDEF", None, None)
    )
    assert [name for name, event in seen.items() if not (event.instruction or "").startswith(PRIVILEGED[name])] == []


def test_arm64_aborts_have_their_reasons(sample: Sample, recorded: Record) -> None:
    seen = by_deed(recorded(sample("forbidden"), options=("-q",)))
    constant = seen.pop("constant_store")
    assert (constant.exception, constant.reason, constant.access) == CONSTANT
    assert {
        name: (event.exception, event.reason, event.access, event.protection) for name, event in seen.items()
    } == FORBIDDEN


@needs("strace")
@pytest.mark.parametrize("name", ["privileged", "forbidden"])
def test_arm64_signals_in_order_equal_straces(name: str, sample: Sample, recorded: Record) -> None:
    run = recorded(sample(name), options=("-q", "--aslr", "off"))
    seen = strace_run(["setarch", "-R", sample(name)], options=("-e", "trace=none"))
    assert [(each.name, each.code, each.address) for each in seen.signals] == [
        (event.signal, event.code, event.address) for event in run.signals
    ]


@pytest.mark.parametrize("name", ["mrs_sctlr", "null_load", "undefined", "beyond_file"])
def test_arm64_deed_that_nobody_catches_ends_the_program(name: str, sample: Sample, recorded: Record) -> None:
    program = sample("privileged" if name in PRIVILEGED else "forbidden")
    alone = recorded(program, name, options=("--full",))
    alone.assert_balanced()
    [event] = alone.signals
    assert event.fatal
    assert alone.status == -number_of_signal(event.signal)
    assert alone.status == subprocess.run([program, name], capture_output=True, check=False).returncode
    assert alone.stderr.count("What the processor refused") == 1
    assert event.exception is not None
    assert event.exception in alone.stderr


def test_arm64_gate_is_svc(sample: Sample, recorded: Record) -> None:
    run = recorded(sample("gates"), options=("-q", "-e", "trace=all"))
    run.assert_balanced()
    lines = {int(run.facts["line_svc_getpid"]): "getpid", int(run.facts["line_svc_brk"]): "brk"}
    own = {call.site.line: call for call in run.syscalls if call.site is not None and call.site.line in lines}
    assert {line: (call.name, call.gate, call.ring_before) for line, call in own.items()} == {
        line: (name, "svc", 3) for line, name in lines.items()
    }
    assert {call.gate for call in run.syscalls} == {"svc"}
