"""Functions that are seen through: who called them is who is told to have called the allocator.

They hand their caller's wish on to malloc(3) and do nothing else that anybody would look for: `operator new`,
`xmalloc`, an allocator's outermost shell.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Final

from observer.errors import UsageError

__all__ = ["WRAPPERS", "Through"]

_OPERATORS: Final = {
    "operator new": "_Znw*", "operator new[]": "_Zna*", "operator delete": "_Zdl*", "operator delete[]": "_Zda*",
}  # fmt: skip
"""What symbols call them (Itanium C++ ABI, 5.1.5)."""

WRAPPERS: Final = (
    *_OPERATORS.values(),
    # what the templates of C++'s libraries make of them where nothing is inlined: libstdc++'s, libc++'s
    "_ZNSt15__new_allocator*", "_ZN9__gnu_cxx13new_allocator*", "_ZN9__gnu_cxx14__alloc_traits*",
    "_ZNSt16allocator_traits*", "_ZNSaI*8allocate*", "_ZNSaI*10deallocate*", "_ZNSt12_Vector_base*11_M_allocate*",
    "_ZNSt12_Vector_base*13_M_deallocate*", "_ZNSt3__19allocator*allocate*", "_ZNSt3__1*__libcpp_*allocate*",
    "_ZSt17__size_to_integer*", "_ZSt*__allocate_guarded*",
    # what programs of the GNU project and others call theirs
    "xmalloc", "xcalloc", "xrealloc", "xfree", "xzalloc", "xmallocarray", "xreallocarray", "xnmalloc", "xnrealloc",
    "x2realloc", "x2nrealloc", "xcharalloc", "ximalloc", "xirealloc", "xicalloc", "xizalloc", "xpalloc", "xmemdup",
    "xstrdup", "xstrndup", "do_xmalloc", "safe_malloc", "safe_calloc", "safe_realloc", "checked_malloc",
    # GLib
    "g_malloc", "g_malloc0", "g_malloc_n", "g_malloc0_n", "g_realloc", "g_realloc_n", "g_try_malloc", "g_try_malloc0",
    "g_try_malloc_n", "g_try_malloc0_n", "g_try_realloc", "g_try_realloc_n", "g_free", "g_free_sized",
    "g_slice_alloc", "g_slice_alloc0", "g_slice_free1",
    # SQLite
    "sqlite3MemMalloc", "sqlite3MemRealloc", "sqlite3MemFree", "mallocWithAlarm", "sqlite3Malloc", "sqlite3MallocZero",
    "sqlite3_malloc", "sqlite3_malloc64", "sqlite3Realloc", "sqlite3_realloc", "sqlite3_realloc64", "sqlite3_free",
    "sqlite3DbMalloc*", "sqlite3DbRealloc*", "sqlite3DbReallocOrFree", "sqlite3DbFree*", "dbMallocRawFinish",
    "dbReallocFinish", "dbFreeNN", "pcache1Alloc", "pcache1Free",
    # CPython
    "PyMem_Malloc", "PyMem_Calloc", "PyMem_Realloc", "PyMem_Free", "PyMem_RawMalloc", "PyMem_RawCalloc",
    "PyMem_RawRealloc", "PyMem_RawFree", "PyObject_Malloc", "PyObject_Calloc", "PyObject_Realloc", "PyObject_Free",
    "_PyMem_RawMalloc", "_PyMem_RawCalloc", "_PyMem_RawRealloc", "_PyMem_RawFree", "_PyObject_Malloc",
    "_PyObject_Calloc", "_PyObject_Realloc", "_PyObject_Free", "pymalloc_realloc",
    # Rust, OpenSSL, APR's like, FFmpeg, Perl, Ruby, Tcl, zlib
    "__rust_alloc*", "__rust_realloc", "__rust_dealloc", "__rdl_*", "__rg_*", "_ZN5alloc5alloc*", "CRYPTO_malloc",
    "CRYPTO_zalloc", "CRYPTO_realloc", "CRYPTO_free", "av_malloc*", "av_calloc", "av_realloc*", "av_free*",
    "Perl_safesys*", "ruby_xmalloc*", "ruby_xcalloc*", "ruby_xrealloc*", "ruby_xfree", "Tcl_Alloc", "TclpAlloc",
    "TclpRealloc", "TclpFree", "zcalloc", "zcfree",
)  # fmt: skip
"""Names of functions as symbols have them, `*` standing for anything: what is seen through without being asked."""


class Through:
    """Which functions are seen through: WRAPPERS, and those of *names*, which may hold `*` (fnmatch(3)).

    Raises:
        UsageError: a name is empty.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        given = tuple(dict.fromkeys(names))
        if not all(given):
            raise UsageError("--through needs the name of a function", "it is empty", "--through my_malloc")
        patterns = [*WRAPPERS, *(_OPERATORS.get(name, name) for name in given)]
        self.names = given
        self._exact = frozenset(pattern for pattern in patterns if not _is_pattern(pattern))
        self._patterns = [pattern for pattern in patterns if _is_pattern(pattern)]
        self._matches = lru_cache(maxsize=1 << 14)(self._match)

    def has(self, function: str | None) -> bool:
        """Whether the *function* is seen through; one without a name is not."""
        return function is not None and (function in self._exact or self._matches(function))

    def _match(self, function: str) -> bool:
        return any(fnmatchcase(function, pattern) for pattern in self._patterns)


def _is_pattern(name: str) -> bool:
    return any(sign in name for sign in "*?[")
