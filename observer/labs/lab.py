"""A lab, read from its folder and checked: lab.toml, checks.toml, question.md, handout/, solution/, mistakes/."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from observer.errors import BadLab, UsageError
from observer.files import open_regular
from observer.instruments.names import all_families, all_names
from observer.labs.language import BadExpression, Expression, Words, parse
from observer.labs.toml import LANGUAGES, Table, Text, read_table
from observer.labs.vocabulary import FACTS, ROW_WORDS
from observer.model.chapter import CONCEPTS
from observer.model.own_allocator import parse_functions
from observer.model.selection import Selection
from observer.model.selection import parse as parse_selection

__all__ = ["ANSWERS", "Check", "Lab", "Question", "Range", "read_lab"]

ANSWERS: Final = ("number", "yes or no", "word")
_VISIBLE: Final = ("visible", "hidden")
_SECONDS: Final = 10
_MEMORY_MIB: Final = 512
_QUESTIONS: Final = ("question.md", "question.ko.md")
_LONGEST_QUESTION: Final = 1 << 20


class Range(NamedTuple):
    """The values that a seed chooses from: *least*, *least* + *step*, … up to *most*."""

    least: int
    most: int
    step: int

    def chosen(self, by: str) -> int:
        """Return the value that the text *by* chooses, the same one always."""
        count = (self.most - self.least) // self.step + 1
        number = int.from_bytes(hashlib.sha256(by.encode(errors="surrogateescape")).digest()[:8], "big")
        return self.least + self.step * (number % count)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked before the program of the handout runs; of that, `observe` comes to the answer.

    `answer` is one of ANSWERS.
    """

    id: str
    text: Text
    answer: str
    observe: Expression


@dataclass(frozen=True, slots=True)
class Check:
    """A fact that must hold: `that`. It is judged only when the checks that it `needs` have passed.

    `concepts` are those of the book that it is about; where it names none, those of its lab.
    """

    name: str
    that: Expression
    points: int
    hint: Text
    visible: bool
    needs: tuple[str, ...]
    concepts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Lab:
    """A lab. `seconds` of processor time and `memory_mib` are what a hand-in may use.

    `sources` lie in the handout and are handed in; those that are `given` are the handout's, whatever is handed in.
    `allocator` are the roles of the functions that the program has for one.
    `expression` says what is recorded, in the grammar of -e: every memory call, and whatever else checks speak of.
    """

    folder: Path
    title: Text
    concepts: tuple[str, ...]
    sources: tuple[str, ...]
    given: tuple[str, ...]
    flags: tuple[str, ...]
    arguments: tuple[str, ...]
    allocator: Mapping[str, str]
    expression: str
    seconds: int
    memory_mib: int
    parameters: Mapping[str, Range]
    questions: tuple[Question, ...]
    checks: tuple[Check, ...]

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.folder.name

    @property
    def points(self) -> int:
        """What all checks give together."""
        return sum(check.points for check in self.checks)

    @property
    def mistakes(self) -> list[Path]:
        """The folders of typical wrong hand-ins, sorted by name."""
        return sorted(path for path in (self.folder / "mistakes").glob("*") if path.is_dir())

    def values(self, seed: str) -> dict[str, int]:
        """Return the value of each parameter for a student's *seed*."""
        return {name: each.chosen(f"{self.name} {seed} {name}") for name, each in self.parameters.items()}

    def question(self, language: str) -> Path:
        """Return the file of the question in *language*."""
        return self.folder / _QUESTIONS[language == "ko"]

    def question_text(self, language: str) -> str:
        """Return the question in *language*, Markdown; raises BadLab when it cannot be read."""
        path = self.question(language)
        try:
            with open_regular(path) as file:
                return file.read(_LONGEST_QUESTION).decode()
        except OSError as error:
            raise BadLab(f"cannot read {path}", error.strerror or "") from error
        except UnicodeDecodeError as error:
            raise BadLab(f"{path} is no text", str(error)) from error


def read_lab(folder: Path) -> Lab:
    """Return the lab in *folder*.

    Raises:
        BadLab: something in it is missing or is not what it must be; the message names the file and the place.
    """
    table = read_table(folder / "lab.toml")
    table.only(("title", "concepts", "points", "build", "run", "limits", "parameters"))
    build, limits, run = table.table("build"), table.table("limits"), table.table("run")
    build.only(("sources", "given", "flags"))
    limits.only(("seconds", "memory_mib"))
    run.only(("arguments", "allocator", "trace"))
    parameters = _parameters(table.table("parameters"))
    questions, checks = _read_checks(folder / "checks.toml", parameters)
    lab = Lab(
        folder=folder, title=table.text("title"), concepts=_concepts(table), sources=_sources(build, folder),
        given=_given(build, folder), flags=build.words("flags"), arguments=run.words("arguments"),
        allocator=_allocator(run), expression=_expression_of(run), seconds=limits.take("seconds", int, _SECONDS),
        memory_mib=limits.take("memory_mib", int, _MEMORY_MIB), parameters=parameters, questions=questions,
        checks=checks,
    )  # fmt: skip
    if table.take("points", int) != lab.points:
        raise table.error(f"points is {table.take('points', int)}, and its checks give {lab.points}")
    for name in _QUESTIONS:
        if not (folder / name).is_file():
            raise table.error(f"{name} is missing beside it")
    for language in LANGUAGES:
        lab.question_text(language)
    return lab


def _concepts(table: Table) -> tuple[str, ...]:
    concepts = table.words("concepts")
    for concept in concepts:
        if concept not in CONCEPTS:
            raise table.error(f"{concept!r} is no concept; there is {', '.join(CONCEPTS)}")
    return concepts


def _sources(build: Table, folder: Path) -> tuple[str, ...]:
    if not build.words("sources"):
        raise build.error("sources is missing: the C files that are compiled")
    return _in_handout(build, "sources", folder)


def _given(build: Table, folder: Path) -> tuple[str, ...]:
    given = _in_handout(build, "given", folder)
    for name in given:
        if name in build.words("sources"):
            raise build.error(f"{name!r} is handed in or given, not both")
    return given


def _in_handout(build: Table, key: str, folder: Path) -> tuple[str, ...]:
    names = build.words(key)
    for name in names:
        if "/" in name or name.startswith((".", "-")):
            raise build.error(f"{name!r} is no plain file name")
        if not (folder / "handout" / name).is_file():
            raise build.error(f"there is no handout/{name}")
    return names


def _allocator(run: Table) -> Mapping[str, str]:
    """Return the roles of the functions that the program has for an allocator."""
    words = run.words("allocator")
    try:
        return parse_functions(words) if words else {}
    except UsageError as error:
        raise run.error(f"allocator: {error}") from error


def _expression_of(run: Table) -> str:
    """Return what is to be recorded: every memory call at least, which facts rely on."""
    expression = f"trace={run.take('trace', str, 'memory')}"
    try:
        selection = parse_selection(expression, all_names(), all_families())
    except UsageError as error:
        raise run.error(f"trace: {error.what}") from error
    if not selection.has_all_memory_calls or selection.instruments != Selection().instruments:
        raise run.error("trace must hold memory, and name no instrument: memory,read,write")
    return expression


def _parameters(table: Table) -> dict[str, Range]:
    found = {}
    for name, value in table.content.items():
        if not (name.isidentifier() and name.isupper()):
            raise table.error(f"{name!r} must be a C name in capitals")
        is_range = isinstance(value, list) and len(value) == 3 and all(type(number) is int for number in value)
        if not is_range or value[1] < value[0] or value[2] < 1:
            raise table.error(f"{name} is {value!r}, and must be [least, most, step]")
        found[name] = Range(*value)
    return found


def _read_checks(path: Path, parameters: Mapping[str, Range]) -> tuple[tuple[Question, ...], tuple[Check, ...]]:
    table = read_table(path)
    table.only(("question", "check"))
    words = Words(FACTS, ROW_WORDS, parameters)
    questions = [_question(each, words) for each in table.tables("question", "id")]
    words = Words(FACTS, ROW_WORDS, parameters, _distinct(table, [question.id for question in questions]))
    checks: list[Check] = []
    for each in table.tables("check", "name"):
        checks.append(_check(each, words, [check.name for check in checks]))
    _distinct(table, [check.name for check in checks])
    if not checks:
        raise table.error("there is no [[check]]")
    return tuple(questions), tuple(checks)


def _distinct(table: Table, names: list[str]) -> list[str]:
    for name in names:
        if names.count(name) > 1:
            raise table.error(f"two are called {name!r}")
    return names


def _question(table: Table, words: Words) -> Question:
    table.only(("id", "text", "answer", "observe"))
    answer, name = table.take("answer", str), table.take("id", str)
    if answer not in ANSWERS:
        raise table.error(f"answer is {answer!r}, and must be one of {', '.join(ANSWERS)}")
    if not name.isidentifier():
        raise table.error("its id must be a word of letters and digits")
    return Question(name, table.text("text"), answer, _expression(table, "observe", words))


def _check(table: Table, words: Words, before: list[str]) -> Check:
    table.only(("name", "that", "points", "hint", "visibility", "needs", "concepts"))
    visibility = table.take("visibility", str, "visible")
    if visibility not in _VISIBLE:
        raise table.error(f"visibility is {visibility!r}, and must be one of {', '.join(_VISIBLE)}")
    needs = table.words("needs")
    for name in needs:
        if name not in before:
            raise table.error(f"it needs {name!r}, and no check before it is called so")
    points = table.take("points", int)
    if points < 0:
        raise table.error(f"points is {points}, and must not be below 0")
    return Check(
        name=table.take("name", str), that=_expression(table, "that", words), points=points, hint=table.text("hint"),
        visible=visibility == "visible", needs=needs, concepts=_concepts(table),
    )  # fmt: skip


def _expression(table: Table, key: str, words: Words) -> Expression:
    try:
        return parse(table.take(key, str), words)
    except BadExpression as error:
        raise table.error(f"{key}: {error}") from error
