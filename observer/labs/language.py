"""The language of checks: small expressions over facts of a run, read by Python's parser and by no evaluator of its.

`faults(line="@LOOP", by="program") == pages(SIZE)`, `calls("malloc", 3).steps == "1-2-3-4-5"`, `leaks == 0`,
`within(peak, SIZE, 100)`, `prediction.q2 == observed`. Numbers, words in quotes, `True`, `False`, the lab's parameters,
`+ - * // %`, one comparison at a time, `and`, `or`, `not`. A fact that takes no argument needs no parentheses.
"""

from __future__ import annotations

import ast
import inspect
import operator
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from observer.labs.values import Missing, Row, Unknown, Value, told

__all__ = ["BadExpression", "Expression", "Facts", "Verdict", "Words", "parse"]

_LONGEST: Final = 500
_LARGEST: Final = 1 << 63
_COMPARISONS: Final[dict[type[ast.cmpop], tuple[str, Callable[[object, object], bool]]]] = {
    ast.Eq: ("", operator.eq), ast.NotEq: ("not ", operator.ne), ast.Lt: ("less than ", operator.lt),  # type: ignore[dict-item]
    ast.LtE: ("at most ", operator.le), ast.Gt: ("more than ", operator.gt), ast.GtE: ("at least ", operator.ge),  # type: ignore[dict-item]
}  # fmt: skip
_OPERATORS: Final[dict[type[ast.operator], Callable[[int, int], int]]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}  # fmt: skip
_WITHIN: Final = "within"
_OWN: Final = ("prediction", "observed")


class BadExpression(Exception):
    """An expression is none of the language, or comes to nothing that can be; the message is for its author."""


class Facts(Protocol):
    """Where the values of names come from while an expression is evaluated."""

    def fact(self, name: str, words: tuple[Value, ...], named: Mapping[str, Value]) -> Value:
        """Return what the fact *name* is for these arguments."""

    def parameter(self, name: str) -> int:
        """Return the value of one of the lab's parameters."""

    def prediction(self, question: str) -> Value:
        """Return what was predicted as the answer to *question*."""

    def observed(self, question: str) -> Value:
        """Return what is the answer to *question*."""


@dataclass(frozen=True, slots=True)
class Words:
    """The words that an expression may use: facts with their parameters, what a row has, parameters, questions."""

    facts: Mapping[str, inspect.Signature]
    of_rows: Collection[str]
    parameters: Collection[str] = ()
    questions: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether something holds (None: it cannot be said), and what was seen and expected, in words."""

    holds: bool | None
    seen: str
    expected: str
    why: str = ""


def parse(text: str, words: Words) -> Expression:
    """Return the expression that *text* is.

    Raises:
        BadExpression: it is none, or uses a word that does not exist.
    """
    if len(text) > _LONGEST:
        raise BadExpression(f"it is longer than {_LONGEST} characters")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise BadExpression(f"{text!r} cannot be read: {getattr(error, 'msg', error)}") from error
    expression = Expression(text, tree, _questions(tree))
    _Reader(words, text).check(tree)
    if expression.asks_observed and len(expression.questions) != 1:
        raise BadExpression("`observed` needs one prediction.QUESTION beside it, or write observed.QUESTION")
    return expression


def _questions(tree: ast.expr) -> tuple[str, ...]:
    """Return the questions whose predictions are asked for."""
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and _is_name(node.value, "prediction")]
    return tuple(dict.fromkeys(node.attr for node in found))


def _is_name(node: ast.AST, *names: str) -> bool:
    return isinstance(node, ast.Name) and node.id in names


class _Reader:
    """Refuses what is none of the language, before anything is run."""

    def __init__(self, words: Words, text: str) -> None:
        self._words = words
        self._text = text

    def check(self, node: ast.AST) -> None:
        """Raise BadExpression where *node*, or something in it, cannot be."""
        match node:
            case ast.BoolOp(values=parts):
                self._all(parts)
            case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
                self.check(operand)
            case ast.BinOp(left=left, right=right, op=op) if type(op) in _OPERATORS:
                self._all([left, right])
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARISONS:
                self._all([left, right])
            case ast.Compare(ops=[_, _, *_]):
                raise BadExpression("one comparison at a time: write `a < b and b < c`")
            case ast.Constant(value=bool() | int() | str()):
                pass
            case ast.Name(id=name):
                self._name(name)
            case ast.Attribute(value=ast.Name(id="prediction" | "observed"), attr=question):
                self._known(question, self._words.questions, "question")
            case ast.Attribute(value=ast.Call() as call, attr=word):
                self.check(call)
                self._known(word, self._words.of_rows, "word of an event")
            case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords):
                self._call(name, args, keywords)
            case _:
                raise BadExpression(
                    f"{ast.get_source_segment(self._text, node) or self._text!r} is not of the language"
                )

    def _all(self, nodes: list[ast.expr]) -> None:
        for node in nodes:
            self.check(node)

    def _known(self, word: str, known: Collection[str], what: str) -> None:
        if word not in known:
            raise BadExpression(f"there is no {what} {word!r}; there is {', '.join(sorted(known)) or 'none at all'}")

    def _name(self, name: str) -> None:
        if name == "observed" or name in self._words.parameters:
            return
        self._known(name, [*self._words.facts, *self._words.parameters], "fact or parameter")
        self._bind(name, [], {})

    def _call(self, name: str, args: list[ast.expr], keywords: list[ast.keyword]) -> None:
        self._all([*args, *(keyword.value for keyword in keywords)])
        if name == _WITHIN:
            if len(args) != 3 or keywords:
                raise BadExpression("within takes three: what was seen, what is expected, how far it may be off")
            return
        self._known(name, self._words.facts, "fact")
        if any(keyword.arg is None for keyword in keywords):
            raise BadExpression(f"{name}: ** is not of the language")
        self._bind(name, args, {str(keyword.arg): keyword.value for keyword in keywords})

    def _bind(self, name: str, args: list[ast.expr], named: dict[str, ast.expr]) -> None:
        signature = self._words.facts[name]
        try:
            bound = signature.bind(*args, **named)
        except TypeError as error:
            takes = ", ".join(signature.parameters) or "nothing"
            raise BadExpression(f"{name}: {error}; it takes {takes}") from error
        for parameter, value in bound.arguments.items():
            wanted = str(signature.parameters[parameter].annotation)
            if isinstance(value, ast.Constant) and type(value.value).__name__ not in wanted:
                raise BadExpression(f"{name}: {parameter} is {value.value!r}, and must be {_KINDS[wanted[:3]]}")


_KINDS: Final = {"int": "a number", "str": "a word in quotes"}


@dataclass(frozen=True, slots=True)
class Expression:
    """An expression of the language; `questions` are those whose predictions it asks for."""

    text: str
    tree: ast.expr
    questions: tuple[str, ...]

    @property
    def asks_observed(self) -> bool:
        """Whether it says `observed` alone."""
        inside = {id(node.value) for node in ast.walk(self.tree) if isinstance(node, ast.Attribute)}
        return any(_is_name(node, "observed") and id(node) not in inside for node in ast.walk(self.tree))

    @property
    def anchors(self) -> tuple[str, ...]:
        """The names of the lines that it speaks of, as `@NAME` says them."""
        words = [node.value for node in ast.walk(self.tree) if isinstance(node, ast.Constant)]
        return tuple(dict.fromkeys(word[1:] for word in words if isinstance(word, str) and word.startswith("@")))

    def value(self, facts: Facts) -> Value:
        """Return what it comes to; raises BadExpression where operands do not go together."""
        return _Evaluation(self, facts).value(self.tree)

    def judge(self, facts: Facts) -> Verdict:
        """Return whether it holds; raises BadExpression as `value`, and if it is nothing that could hold."""
        return _Evaluation(self, facts).judge(self.tree)


class _Evaluation:
    """One expression beside the facts of one run."""

    def __init__(self, expression: Expression, facts: Facts) -> None:
        self._expression = expression
        self._facts = facts

    # ---- truth --------------------------------------------------------------------------------------------

    def judge(self, node: ast.expr) -> Verdict:
        """Return whether *node* holds."""
        match node:
            case ast.BoolOp(op=op, values=parts):
                return _joined([self.judge(part) for part in parts], decides=isinstance(op, ast.Or))
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                inner = self.judge(operand)
                holds = None if inner.holds is None else not inner.holds
                return Verdict(holds, inner.seen, f"not {inner.expected}", inner.why)
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                return self._compared(self.value(left), type(op), self.value(right))
            case ast.Call(func=ast.Name(id="within"), args=[seen, expected, most]):
                return self._within(*(self.value(each) for each in (seen, expected, most)))
        return self._compared(self.value(node), ast.Eq, True)

    def _compared(self, seen: Value, op: type[ast.cmpop], expected: Value) -> Verdict:
        words, compare = _COMPARISONS[op]
        if isinstance(seen, Unknown | Missing) or isinstance(expected, Unknown | Missing):
            return _undecided(seen, f"{words}{told(expected)}", seen, expected)
        if type(seen) is not type(expected) or isinstance(seen, Row):
            raise BadExpression(f"{told(seen)!r} and {told(expected)!r} cannot be compared")
        return Verdict(compare(seen, expected), told(seen), f"{words}{told(expected)}")

    def _within(self, seen: Value, expected: Value, most: Value) -> Verdict:
        wanted = f"{told(expected)}, give or take {told(most)}"
        if any(isinstance(each, Unknown | Missing) for each in (seen, expected, most)):
            return _undecided(seen, wanted, seen, expected, most)
        off = abs(_number(seen) - _number(expected))
        return Verdict(off <= _number(most), told(seen), wanted)

    # ---- values -------------------------------------------------------------------------------------------

    def value(self, node: ast.expr) -> Value:
        """Return what *node* comes to."""
        match node:
            case ast.Constant(value=bool() | int() | str() as constant):
                return constant
            case ast.Name(id="observed"):
                return self._facts.observed(self._expression.questions[0])
            case ast.Name(id=name):
                return self._named(name)
            case ast.Attribute(value=ast.Name(id=own), attr=question):
                return self._facts.prediction(question) if own == _OWN[0] else self._facts.observed(question)
            case ast.Attribute(value=call, attr=word):
                row = self.value(call)
                return row.words[word] if isinstance(row, Row) else _no_row(row)
            case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords) if name != _WITHIN:
                named = {str(keyword.arg): self.value(keyword.value) for keyword in keywords}
                return self._facts.fact(name, tuple(map(self.value, args)), named)
            case ast.BinOp(left=left, op=op, right=right):
                return self._calculated(type(op), self.value(left), self.value(right))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return self._calculated(ast.Sub, 0, self.value(operand))
        verdict = self.judge(node)
        return verdict.holds if verdict.holds is not None else Unknown(verdict.why)

    def _named(self, name: str) -> Value:
        if name.isupper():
            return self._facts.parameter(name)
        return self._facts.fact(name, (), {})

    def _calculated(self, op: type[ast.operator], left: Value, right: Value) -> Value:
        for side in (left, right):
            if isinstance(side, Unknown | Missing):
                return side
        if op in (ast.FloorDiv, ast.Mod) and right == 0:
            raise BadExpression("it divides by 0")
        result = _OPERATORS[op](_number(left), _number(right))
        if abs(result) >= _LARGEST:
            raise BadExpression("a number has more than 64 bits")
        return result


def _number(value: Value) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadExpression(f"{told(value)!r} is no number")
    return value


def _no_row(value: Value) -> Value:
    if isinstance(value, Unknown | Missing):
        return value
    raise BadExpression(f'{told(value)!r} is a number, and has no words: say which one, as in calls("malloc", 3)')


def _undecided(seen: Value, expected: str, *values: Value) -> Verdict:
    """Return the verdict where a value is not there: none with what cannot be observed, failed with what is missing."""
    for value in values:
        if isinstance(value, Unknown):
            return Verdict(None, told(seen), expected, value.why)
    missing = next(value for value in values if isinstance(value, Missing))
    return Verdict(False, told(seen), expected, missing.why)


def _joined(parts: list[Verdict], *, decides: bool) -> Verdict:
    """Return the verdict of `and` (*decides* False: one that fails decides) or `or` (one that holds does)."""
    for wanted in (decides, None):
        for part in parts:
            if part.holds is wanted:
                return part
    joint = " or " if decides else ", "
    return Verdict(not decides, joint.join(part.seen for part in parts), joint.join(part.expected for part in parts))
