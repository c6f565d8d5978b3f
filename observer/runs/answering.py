"""Who answered malloc in a recorded run: the loader, the program and other libraries may have their own mind."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from observer.model.footprint import Conduct
from observer.model.machine import Meta
from observer.runs.variants import DEFAULT, MUSL, Variant
from observer.tracee.allocators import Library, definers_of_malloc, has_glibc_inside, known, lacking
from observer.tracee.musl import version_of

__all__ = ["own_allocator", "remarks_on", "why_without_effect"]

_ITS_OWN: Final = "its own"


def why_without_effect(variant: Variant, meta: Meta, errors: Path) -> str:
    """Return why preloading had no effect, empty if it had; *errors* is the file with what the run said of errors."""
    if variant.identity is None or not variant.is_preloaded:
        return ""
    path = variant.identity.path
    if path not in {image.path for image in meta.images}:
        return f"its library was not loaded: {_loaders_word(errors)}"
    program = _program(meta)
    for other in definers_of_malloc(meta.images):
        if other == path:
            break
        if other == program:
            return "the program brings a malloc of its own, which comes before any library's"
        if known(other) is not None:
            return f"{os.path.basename(other)} comes before it"
    if meta.ends and len(_without(path, meta)) == len(meta.ends):
        return "the program ended without it: it starts itself anew without LD_PRELOAD"
    return ""


def _program(meta: Meta) -> str:
    return next((image.path for image in meta.images if image.role == "program"), "")


def _without(path: str, meta: Meta) -> list[str]:
    """Return the programs of the processes that at their end did not have the library at *path*."""
    return [end.path for end in meta.ends if all(mapping.path != path for mapping in end.mappings)]


def _loaders_word(errors: Path) -> str:
    """Return what the loader said (ld.so(8)); it says nothing in secure-execution mode."""
    try:
        lines = errors.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        lines = []
    word = next((line.partition("ld.so: ")[2] for line in lines if "ld.so: object" in line), "")
    return word or "the loader ignores LD_PRELOAD for programs that change their user or capabilities (ld.so(8))"


def remarks_on(variant: Variant, meta: Meta, identity: Library, conduct: Conduct) -> Iterable[str]:
    """Yield what comes between the program and the allocator *identity*."""
    own = {identity.path, meta.machine.libc}
    roles = {image.path: image.role for image in meta.images}
    for path in definers_of_malloc(meta.images):
        if path in own:
            break
        if roles[path] == "library":
            yield f"{os.path.basename(path)} defines malloc before it: what it passes on is its affair"
    without = _without(identity.path, meta) if variant.is_preloaded else []
    if without:
        names = ", ".join(dict.fromkeys(os.path.basename(each) for each in without))
        yield f"{len(without)} of {len(meta.ends)} processes ran without it: {names}"
    left = lacking(identity.path, conduct.calls) if variant.is_preloaded else []
    if left:
        yield f"it has no {', '.join(left)}: the C library answers, from a heap that this allocator cannot free into"


def own_allocator(meta: Meta) -> Library:
    """Return which allocator a program has when nothing is preloaded by us."""
    program, libc, version = _program(meta), meta.machine.libc, meta.machine.libc_version
    for path in definers_of_malloc(meta.images):
        library = known(path)
        if library is not None:
            return library
        if path == program and not has_glibc_inside(path):
            return Library(_ITS_OWN, path, "unknown", "")
    if MUSL in libc:
        return Library(MUSL, libc, *version_of(libc))
    if not libc and not has_glibc_inside(program):
        return Library(_ITS_OWN, program, "unknown", "")
    return Library(DEFAULT, libc or program, version or "unknown", "the library's own banner" if version else "")
