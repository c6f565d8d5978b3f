"""Who answered malloc: told from the images of a run, and from what the loader said."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from observer.model.machine import Image, Meta
from observer.runs import answering
from observer.runs.answering import own_allocator, remarks_on, why_without_effect
from observer.runs.variants import Variant
from observer.tracee.allocators import Library
from tests.builders import machine, meta, process_end
from tests.unit.trials import conduct

PROGRAM, LIBC, OURS, OTHER = "/home/ada/story", "/lib/libc.so.6", "/lib/libjemalloc.so.2", "/lib/libtcmalloc.so.4"
JEMALLOC = Library("jemalloc", OURS, "5.3.0", "the version string in the library")
TCMALLOC = Library("tcmalloc", OTHER, "2.10", "the version string in the library")
PRELOADED = Variant("jemalloc", (PROGRAM,), {}, JEMALLOC, is_preloaded=True)
AS_IT_IS = Variant("glibc", (PROGRAM,), {})


def run_with(*paths: str, **fields: Any) -> Meta:
    roles = {PROGRAM: "program", LIBC: "libc"}
    images = tuple(Image(path, 0, 0, 1, role=roles.get(path, "library")) for path in paths)
    return meta(images=images, machine=machine(libc=LIBC, libc_version="2.36"), **{"ends": (), **fields})


@pytest.fixture
def define(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that define malloc, in the order in which they were mapped; the allocators among them are known."""
    paths: list[str] = []
    libraries = {OURS: JEMALLOC, OTHER: TCMALLOC}

    def definers(images: Sequence[Image]) -> list[str]:
        return [path for path in paths if path in {image.path for image in images}]

    monkeypatch.setattr(answering, "definers_of_malloc", definers)
    monkeypatch.setattr(answering, "known", libraries.get)
    monkeypatch.setattr(answering, "has_glibc_inside", lambda path: False)
    monkeypatch.setattr(answering, "lacking", lambda path, operations: sorted(set(operations) & {"pvalloc"}))
    return paths


def test_a_library_that_was_not_loaded_has_no_effect_and_the_loader_says_why(define: list[str], tmp_path: Path) -> None:
    errors = tmp_path / "messages"
    why = why_without_effect(PRELOADED, run_with(PROGRAM, LIBC), errors)
    assert why.startswith("its library was not loaded: the loader ignores LD_PRELOAD for programs that change")
    errors.write_text("hello\nERROR: ld.so: object '/lib/x' cannot be preloaded: ignored.\n")
    why = why_without_effect(PRELOADED, run_with(PROGRAM, LIBC), errors)
    assert why == "its library was not loaded: object '/lib/x' cannot be preloaded: ignored."


@pytest.mark.parametrize(
    ("before", "why"),
    [
        ([OURS, LIBC], ""),
        ([PROGRAM, OURS], "the program brings a malloc of its own, which comes before any library's"),
        ([OTHER, OURS], "libtcmalloc.so.4 comes before it"),
    ],
)
def test_who_comes_first_answers(define: list[str], before: list[str], why: str) -> None:
    define[:] = before
    assert why_without_effect(PRELOADED, run_with(PROGRAM, OURS, OTHER, LIBC), Path("nothing")) == why


def test_without_preloading_there_is_nothing_to_have_no_effect(define: list[str]) -> None:
    assert why_without_effect(AS_IT_IS, run_with(PROGRAM), Path("nothing")) == ""


def test_a_program_that_starts_itself_anew_may_end_without_the_library(define: list[str]) -> None:
    define[:] = [OURS]
    run = run_with(PROGRAM, OURS, LIBC, ends=(process_end(),))
    why = why_without_effect(PRELOADED, run, Path("nothing"))
    assert why == "the program ended without it: it starts itself anew without LD_PRELOAD"


def test_what_comes_between_is_remarked(define: list[str]) -> None:
    define[:] = ["/lib/libhook.so", OURS]
    run = run_with(PROGRAM, "/lib/libhook.so", OURS, LIBC, ends=(process_end(),))
    said = list(remarks_on(PRELOADED, run, JEMALLOC, conduct(calls={"malloc": 7, "pvalloc": 3})))
    assert said == [
        "libhook.so defines malloc before it: what it passes on is its affair",
        "1 of 1 processes ran without it: story",
        "it has no pvalloc: the C library answers, from a heap that this allocator cannot free into",
    ]
    define[:] = [LIBC]
    assert list(remarks_on(AS_IT_IS, run, Library("glibc", LIBC, "2.36", ""), conduct())) == []


@pytest.mark.parametrize(
    ("before", "allocator"),
    [([OTHER, LIBC], "tcmalloc"), ([PROGRAM, LIBC], "its own"), ([LIBC], "glibc"), ([], "glibc")],
)
def test_a_program_has_the_allocator_that_answers(define: list[str], before: list[str], allocator: str) -> None:
    define[:] = before
    assert own_allocator(run_with(PROGRAM, OTHER, LIBC)).allocator == allocator


def test_the_c_librarys_own_has_its_release(define: list[str]) -> None:
    define[:] = [LIBC]
    assert own_allocator(run_with(PROGRAM, LIBC)) == Library("glibc", LIBC, "2.36", "the library's own banner")
    static = meta(images=(Image(PROGRAM, 0, 0, 1, role="program"),), machine=machine(libc="", libc_version=""))
    assert own_allocator(static) == Library("its own", PROGRAM, "unknown", "")
