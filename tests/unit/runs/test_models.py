"""The one place that makes reference machines: with the run's release, tunables and machine, or with others."""

from __future__ import annotations

from typing import Any

import pytest

from observer.errors import UsageError
from observer.model.events import Call, Event
from observer.model.machine import Meta
from observer.runs.models import (
    Hardware,
    book_machine,
    book_model,
    check_release,
    check_width,
    exact_model,
    exact_model_if_known,
    paging_model,
)
from observer.simulator.workload import Operation
from tests.builders import machine, meta, request

TUNABLES = {"GLIBC_TUNABLES": "glibc.malloc.top_pad=0"}


def run_of(release: str = "2.36-9+deb12u14", **fields: Any) -> Meta:
    asked = request("./story", environment=TUNABLES)
    return meta(machine=machine(libc_version=release, processors=7, thp="always", **fields), request=asked)


def test_the_exact_model_is_of_the_runs_own_library_and_machine() -> None:
    model = exact_model(run_of())
    assert (model.version, model.environment, model.cpus, model.thp) == ("2.36-9+deb12u14", TUNABLES, 7, "always")


def test_another_release_and_other_huge_pages_can_be_asked_for() -> None:
    model = exact_model(run_of(), "2.31", "never")
    assert (model.version, model.cpus, model.thp) == ("2.31", 7, "never")


@pytest.mark.parametrize(("libc", "why"), [("", "none was seen"), ("/lib/ld-musl.so.1", "/lib/ld-musl.so.1")])
def test_a_library_that_names_no_release_has_no_model(libc: str, why: str) -> None:
    run = run_of("", libc=libc)
    with pytest.raises(UsageError, match="no glibc that names its release") as raised:
        exact_model(run)
    assert (raised.value.why, raised.value.remedy) == (why, "--libc RELEASE for a static program")
    assert exact_model_if_known(run.machine, run.request.environment) is None
    assert exact_model(run, "2.36").version == "2.36"


def test_an_unknown_release_is_refused_or_has_no_model() -> None:
    with pytest.raises(UsageError, match=r"glibc 9\.99 is not known"):
        exact_model(run_of("9.99"))
    unknown = run_of("9.99")
    assert exact_model_if_known(unknown.machine, unknown.request.environment) is None
    with pytest.raises(UsageError, match=r"glibc 9\.99 is not known"):
        check_release("9.99")
    check_release("2.43")


def test_a_program_for_i386_is_not_set_beside_any() -> None:
    check_width(run_of())
    with pytest.raises(UsageError, match=r"of 64-bit programs: this one is for i386"):
        check_width(run_of(program_bits=32))


def test_memory_is_that_of_the_runs_machine_unless_said_otherwise() -> None:
    pages = []
    for make in (paging_model(run_of()), paging_model(run_of(), "never")):
        memory = make().memory
        memory.map(4 << 20, 4 << 20, "anonymous")
        memory.write(4 << 20, 1)
        pages.append(memory.resident_pages)
    assert pages == [512, 1]


def test_each_process_has_an_allocator_of_its_own() -> None:
    make = book_model("best")
    assert make() is not make()
    assert make().heap.fit == "best"


def simulated(hardware: Hardware, *operations: Operation) -> list[Event]:
    return list(book_machine(hardware, "w").run(operations))


def test_promises_are_limited_by_the_machines_memory() -> None:
    large = Operation("malloc", "a", (1 << 20,), 1)
    strict = Hardware(overcommit=2, memory_bytes=4096)
    (refused,) = (event for event in simulated(strict, large) if isinstance(event, Call))
    (given,) = (event for event in simulated(Hardware(), large) if isinstance(event, Call))
    assert not refused.result
    assert given.result


def test_few_frames_make_pages_give_way() -> None:
    hardware = Hardware(frames=3, policy="fifo")
    machine = book_machine(hardware, "w")
    for _event in machine.run([Operation("malloc", "a", (7 * 4096,), 1), Operation("touch", "a", (0, 7 * 4096), 2)]):
        pass
    assert machine.totals.evictions > 0
