"""A program's own allocator: which of its functions play which roles of the malloc family."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from observer.errors import UsageError
from observer.model.operations import FAMILY

__all__ = ["parse_functions"]

_ROLES: Final = tuple(each.name for each in FAMILY if (each.allocates or each.releases) and each.name.isidentifier())
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")  # a dot: what compilers put behind the name of a copy
_EXAMPLE: Final = "--malloc-functions my_malloc,my_free or --malloc-functions grab=malloc,drop=free"


def parse_functions(texts: Iterable[str]) -> dict[str, str]:
    """Return the role of each function that *texts* name, `NAME` or `NAME=ROLE`, separated by commas.

    A role is a function of malloc(3) or posix_memalign(3), whose arguments and result the function must have. Without
    one, a name has the longest that it ends with.

    >>> parse_functions(["my_malloc,my_posix_memalign", "drop=free"])
    {'my_malloc': 'malloc', 'my_posix_memalign': 'posix_memalign', 'drop': 'free'}

    Raises:
        UsageError: a name is no C name, has no role or another one already, or a role is none.
    """
    found: dict[str, str] = {}
    for word in ",".join(texts).split(","):
        name, equals, role = word.strip().partition("=")
        if not _NAME.fullmatch(name):
            raise UsageError(f"--malloc-functions: {word!r} is no function's name", "", _EXAMPLE)
        role = role if equals else max((each for each in _ROLES if name.endswith(each)), key=len, default="")
        if role not in _ROLES:
            why = f"{role!r} is no role" if role else f"{name!r} does not end with its role, nor is one given"
            raise UsageError(f"--malloc-functions: {why}", f"roles are {', '.join(_ROLES)}", _EXAMPLE)
        if found.setdefault(name, role) != role:
            raise UsageError(f"--malloc-functions: {name} cannot be {found[name]} and {role}", "", _EXAMPLE)
    return found
