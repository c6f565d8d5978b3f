"""Labs on a terminal, in English or Korean: the list, a student's results, what lint found, grades."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from inspect import Parameter
from typing import Final

from rich.console import Console
from rich.text import Text as Line

from observer.labs.grading import Document
from observer.labs.judging import FAILED, NOT_REACHED, PASSED, UNVERIFIABLE, CheckResult
from observer.labs.lab import Lab
from observer.labs.lint import Linted
from observer.labs.marking import Marked
from observer.labs.vocabulary import FACTS, ROW_WORDS, fact_of
from observer.labs.work import Work
from observer.model.filenames import typed
from observer.report.screen import heading, paragraph, put, right, safe

__all__ = ["tell_documents", "tell_labs", "tell_linted", "tell_marked", "tell_started", "tell_words"]

_STYLES: Final = {PASSED: "green", FAILED: "bold red", NOT_REACHED: "yellow", UNVERIFIABLE: "dim"}
_WORDS: Final = {
    "en": {
        PASSED: PASSED, FAILED: FAILED, NOT_REACHED: NOT_REACHED, UNVERIFIABLE: UNVERIFIABLE,
        "expected": "expected", "seen": "seen", "line": "line", "why": "because", "hint": "hint", "asks": "asks",
        "predicted": "predicted", "observed": "observed", "happened": "happened",
        "score": "score", "output": "the program printed", "hidden": "a hidden check",
        "required": "must hold", "book": "book", "section": "section",
    },
    "ko": {
        PASSED: "통과", FAILED: "실패", NOT_REACHED: "아직", UNVERIFIABLE: "여기서는 확인할 수 없음",
        "expected": "기대", "seen": "관찰", "line": "줄", "why": "이유", "hint": "힌트", "asks": "조건",
        "predicted": "예측", "observed": "관찰", "happened": "일어난 일",
        "score": "점수", "output": "프로그램의 출력", "hidden": "숨은 검사", "required": "꼭 필요",
        "book": "책", "section": "절",
    },
}  # fmt: skip
_ASIDE: Final = 12
_POINTS: Final = 9
_ITEM: Final = re.compile(r"\s*(?:[-*] |\d+\. |#)")
_BEGIN: Final = re.compile(r"\s*(?:[-*] |\d+\. )?")
_PREDICTION: Final = re.compile(r"prediction\.\w+ == observed(\.\w+)?")


def tell_labs(console: Console, labs: Sequence[Lab], language: str) -> None:
    """Print a line for each lab."""
    for lab in labs:
        text = f"{lab.title.of(language)}  ({', '.join(lab.concepts)}; {lab.points})"
        paragraph(console, text, first=f"{lab.name:<18} ", hanging=19)


def tell_words(console: Console) -> None:
    """Print the facts that checks may speak of, with what each takes."""
    for name, signature in FACTS.items():
        takes = ", ".join(_parameter(each) for each in signature.parameters.values())
        put(console, f"{name}({takes})" if takes else name, "bold")
        paragraph(console, fact_of(name).__doc__ or "", first="    ", hanging=4)
    put(console, f"words of calls(op, n): {', '.join(ROW_WORDS)}")


def _parameter(parameter: Parameter) -> str:
    return (
        parameter.name if parameter.default in (Parameter.empty, 0, "") else f'{parameter.name}="{parameter.default}"'
    )


def tell_started(console: Console, work: Work, language: str) -> None:
    """Print where the work is, the question, and what to type next."""
    lab, folder = work.lab, typed(work.folder)
    put(console, f"{safe(str(work.folder))}: {lab.title.of(language)}")
    put(console)
    _tell_text(console, lab.question_text(language))
    put(console)
    for name, value in lab.values(work.seed).items():
        put(console, f"  {name} = {value}")
    put(console)
    if lab.questions:
        put(console, f"  observer lab predict {folder}")
    put(console, f"  observer lab check {folder}")
    put(console, f"  observer lab submit {folder}")


def _tell_text(console: Console, text: str) -> None:
    """Print *text*, Markdown of a question, as wide as the terminal is: paragraphs and items are wrapped anew."""
    for passage in _passages(text):
        begin = _BEGIN.match(passage)
        lead = begin[0] if begin is not None else ""
        if passage:
            paragraph(console, safe(passage[len(lead) :]), first=f"  {lead}", hanging=2 + len(lead))
        else:
            put(console)


def _passages(text: str) -> Iterator[str]:
    """Yield the paragraphs, items and headings of *text* as lines; what stands between paragraphs is an empty one."""
    passage = ""
    for line in text.splitlines():
        if not line.strip() or _ITEM.match(line):
            if passage:
                yield passage
            passage = line
            if not line.strip():
                yield ""
        else:
            passage = f"{passage} {line.strip()}" if passage else line
    if passage:
        yield passage


def tell_marked(console: Console, marked: Marked, language: str) -> None:
    """Print each check: what was expected, what was seen, where, and what to think about."""
    words = _WORDS[language]
    for result in marked.results:
        _tell_result(console, result, words, language, is_brief=marked.attempt.program is None)
    heading(console, f"{words['score']}: {marked.score} / {marked.max_score}", _ending(marked))
    if marked.attempt.output:
        put(console, f"{words['output']}:")
        for line in marked.attempt.output.splitlines():
            put(console, f"  {safe(line)}")


def _ending(marked: Marked) -> str:
    attempt = marked.attempt
    return "" if attempt.verdict == "OK" else safe(f"{attempt.verdict}: {attempt.why}")


def _tell_result(
    console: Console, result: CheckResult, words: dict[str, str], language: str, *, is_brief: bool
) -> None:  # fmt: skip
    """Print what became of one check; that alone, if the program could not be run (`is_brief`): the end says why."""
    hidden = result.visibility == "hidden"
    name = words["hidden"] if hidden else result.name
    is_required = not result.max_points and result.status != UNVERIFIABLE
    points = words["required"] if is_required else f"{result.points} / {result.max_points}"
    put(
        console,
        Line.assemble(f"  {right(points, _POINTS)}  ", (words[result.status], _STYLES[result.status]), f"  {name}"),
    )
    is_prediction = _PREDICTION.fullmatch(result.that) is not None
    if hidden or (is_brief and not is_prediction):
        return
    rows = {"predicted" if is_prediction else "seen": result.seen, "observed" if is_prediction else "expected": (
        result.expected
    )} if is_prediction or result.status == FAILED else {}  # fmt: skip
    if result.status == PASSED and not is_prediction:
        return
    rows |= {"why": result.why} if result.why else {}
    if result.status == FAILED:
        rows |= {"line": ", ".join(result.lines), "happened": result.row, "hint": result.hint.get(language, "")}
        rows["book"] = f"{words['section']} {result.book}" if result.book else ""
        if not is_prediction:
            rows = {"asks": result.that, **rows}
    for key, text in rows.items():
        if text:
            paragraph(console, safe(text), first=f"{words[key]:>{_ASIDE + 9}}  ", hanging=_ASIDE + 11)


def tell_linted(console: Console, lab: Lab, linted: Linted) -> None:
    """Print what is wrong with *lab*, or that nothing is."""
    verdict = "wrong" if linted.wrong else "good"
    put(console, f"{lab.name:<18} {verdict}, {linted.tried} programs tried")
    for text in linted.wrong:
        paragraph(console, safe(text), first="    ", hanging=6)
    for text in linted.unverifiable:
        paragraph(console, safe(text), first="    not verifiable here: ", hanging=6)


def tell_documents(console: Console, documents: Sequence[Document]) -> None:
    """Print a line for each hand-in."""
    for each in documents:
        score = "-" if each.score is None else str(each.score)
        why = f"  {each.why}" if each.why else ""
        put(console, safe(f"{each.verdict:<3} {score:>3} / {each.max_score:<3} {each.lab:<18} {each.file}{why}"))
