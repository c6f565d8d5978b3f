"""Where allocations came from: asked of the model where there is one and enough was recorded, else left as it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from observer.model.events import Event
from observer.model.machine import Meta
from observer.runs import sources
from observer.runs.sources import with_sources
from tests.builders import machine, meta, request, story_run

MEMORY = ("brk", "madvise", "mmap", "mprotect", "mremap", "munmap")


class Asked:
    """Stands where the trace and the writing into it would."""

    def __init__(self) -> None:
        self.kinds: frozenset[str] | None = None
        self.hows: list[str] = []
        self.order: list[str] = []

    def open(self, directory: Path) -> Asked:
        self.order.append(f"open {directory}")
        return self

    def events(self, kinds: frozenset[str]) -> Iterator[Event]:
        self.kinds = kinds
        return (event for event in story_run() if event.__struct_config__.tag in kinds)

    def add(self, trace: Asked, found: Mapping[int, str], how: str) -> Meta:
        assert trace is self
        self.hows.append(how)
        return meta(notes=("told",))

    @contextmanager
    def working(self) -> Iterator[None]:
        self.order.append("begin")
        yield
        self.order.append("end")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    made = Asked()
    monkeypatch.setattr(sources, "Trace", made)
    monkeypatch.setattr(sources, "add_sources", made.add)
    return made


def run_of(bits: int = 64, release: str = "2.36", **fields: Any) -> Meta:
    fields = {"syscalls": MEMORY, "instruments": ("calls",), **fields}
    return meta(machine=machine(libc_version=release, program_bits=bits), request=request("./story", **fields))


@pytest.mark.parametrize("syscalls", [MEMORY, None, (*MEMORY, "openat")])
def test_the_model_is_asked_while_it_is_said_that_work_goes_on(asked: Asked, syscalls: tuple[str, ...] | None) -> None:
    found = with_sources(run_of(syscalls=syscalls), Path("story.trace"), asked.working)
    assert found.notes == ("told",)
    assert asked.order == ["begin", "open story.trace", "end"]
    assert asked.kinds == {"call", "syscall", "process"}
    assert asked.hows == ["inferred: by the model of glibc 2.36, as long as it gives every pointer exactly"]


@pytest.mark.parametrize(
    "run",
    [
        run_of(instruments=("faults",)), run_of(syscalls=("brk", "mmap", "munmap")), run_of(bits=32),
        run_of(release=""), run_of(release="9.99"),
    ],
    ids=["no calls", "no mremap", "i386", "no release", "unknown release"],
)  # fmt: skip
def test_where_it_cannot_follow_nothing_is_touched(asked: Asked, run: Meta) -> None:
    assert with_sources(run, Path("story.trace"), asked.working) is run
    assert asked.order == []
