"""The ways to run one program under several allocators."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from observer.errors import CannotLaunch
from observer.runs import variants
from observer.runs.variants import ALLOCATORS, Program, program_of, variants_of, workload_of
from observer.runs.workloads import Interpreted
from observer.tracee.allocators import Library, Missing

JEMALLOC = Library("jemalloc", "/usr/lib/libjemalloc.so.2", "5.3.0", "the version string in the library")
COMPILED = Library("musl", "/s/prog-musl", "1.2.3", "the loader's own message")
PROGRAM = Program("/bin/true", ("-x",), "true -x")


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have jemalloc alone, and musl-gcc."""
    monkeypatch.setenv("LD_PRELOAD", "/mine.so")
    monkeypatch.setattr(
        variants, "find", lambda name, environment: JEMALLOC if name == "jemalloc" else Missing(name, "-")
    )
    monkeypatch.setattr(variants, "why_not_preloaded", lambda path: "")
    monkeypatch.setattr(variants.musl, "build", lambda source, flags, folder: COMPILED)


def test_all_allocators_are_tried_in_the_order_of_the_table() -> None:
    assert ALLOCATORS == ("glibc", "jemalloc", "mimalloc", "tcmalloc", "musl")
    found, missing = variants_of(PROGRAM, ALLOCATORS, Path("/s"))
    assert [each.allocator for each in found] == ["glibc", "jemalloc"]
    assert [each.allocator for each in missing] == ["mimalloc", "tcmalloc", "musl"]


def test_the_program_as_it_is_has_no_allocator_said_of_it() -> None:
    (plain,), _missing = variants_of(PROGRAM, ["glibc"], Path("/s"))
    assert (plain.words, plain.identity, plain.is_preloaded) == (("/bin/true", "-x"), None, False)
    assert plain.environment == os.environ


def test_a_library_is_preloaded_behind_the_users_own() -> None:
    (variant,), _missing = variants_of(PROGRAM, ["jemalloc"], Path("/s"))
    assert (variant.words, variant.identity, variant.is_preloaded) == (("/bin/true", "-x"), JEMALLOC, True)
    assert variant.environment["LD_PRELOAD"] == f"/mine.so:{JEMALLOC.path}"


def test_a_static_program_takes_no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variants, "why_not_preloaded", lambda path: "the program is static")
    assert variants_of(PROGRAM, ["jemalloc"], Path("/s")) == ([], [Missing("jemalloc", "the program is static")])


def test_musl_needs_the_source_and_says_how_it_was_compiled() -> None:
    assert variants_of(PROGRAM, ["musl"], Path("/s"))[1] == [
        Missing("musl", "the program must be compiled anew", "--source FILE.c")
    ]
    with_source = Program("/bin/true", ("-x",), "true -x", Path("src/prog.c"), ("-O2", "-DN=4"))
    (variant,), missing = variants_of(with_source, ["musl"], Path("/s"))
    assert (variant.words, variant.is_preloaded, missing) == (("/s/prog-musl", "-x"), False, [])
    assert variant.remarks == ("compiled anew: musl-gcc -O2 -DN=4 prog.c",)


def test_a_workload_is_its_interpreter_whose_source_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variants.interpreter, "source", lambda: Path("/c_samples/workload.c"))
    program = workload_of(Interpreted("/cache/workload", Path("/w/small_blocks"), ()), "small_blocks", Path("/s"))
    assert program.words == ("/cache/workload", "-o", "/s/report", "/w/small_blocks")
    assert (program.name, program.source) == ("workload small_blocks", Path("/c_samples/workload.c"))
    assert "-fno-builtin" in program.flags


def test_a_programs_flags_are_asked_for_only_with_its_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variants.musl, "flags_like", lambda path: ("-O1", path))
    program = program_of(["/bin/sh", "-c", "true"], None)
    assert (program.program, program.arguments, program.name) == ("/bin/sh", ("-c", "true"), "/bin/sh -c true")
    assert program.flags == ()
    assert program_of(["/bin/sh"], Path("sh.c")).flags == ("-O1", "/bin/sh")
    with pytest.raises(CannotLaunch, match="cannot run '/nowhere/x'"):
        program_of(["/nowhere/x"], None)
