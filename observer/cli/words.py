"""Words on the command line: the program's own, and lists."""

from __future__ import annotations

from collections.abc import Sequence

from observer.errors import UsageError

__all__ = ["after_dashes", "chosen"]


def after_dashes(words: list[str]) -> list[str]:
    """Return *words* without the `--` before them, if there is one.

    >>> after_dashes(["--", "ls", "--", "-l"])
    ['ls', '--', '-l']
    """
    return words[1:] if words[:1] == ["--"] else words


def chosen(only: str | None, every: Sequence[str], what: str) -> list[str]:
    """Return those of *every* that the list `A,B` names, in the order of *every*; all of them for None.

    Raises:
        UsageError: there is no *what* of such a name.

    >>> chosen("musl,glibc", ["glibc", "static", "musl"], "side")
    ['glibc', 'musl']
    """
    named = list(every) if only is None else only.split(",")
    unknown = [name for name in named if name not in every]
    if unknown:
        raise UsageError(f"no {what} {unknown[0]!r} is known", "", f"--only with some of {', '.join(every)}")
    return [name for name in every if name in named]
