"""A language as a value: all that differs between a run told in English and in Korean, chosen once and handed down."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from observer.model.events import Call, Signal
from observer.story.crashes import Crash, CrashWords, broken_words, crash_words
from observer.story.departures import Occurrence
from observer.story.departures_in_korean import KOREAN as DEPARTURES_IN_KOREAN
from observer.story.glossary import steps_in
from observer.story.korean import (
    korean_counted,
    korean_refusal,
    korean_sentence,
    korean_short_size,
    korean_size,
    with_particles,
)
from observer.story.korean_crashes import broken_in_korean, crash_in_korean
from observer.story.korean_rows import korean_row
from observer.story.lines import row_words
from observer.story.phrases import PHRASES, Phrase
from observer.story.profile_phrases import PROFILE_PHRASES
from observer.story.refusals import exception_words
from observer.story.rows import Row
from observer.story.sentences import sentence
from observer.story.terminal_phrases import TERMINAL_PHRASES
from observer.story.wording import plural, short_size, size

__all__ = ["ENGLISH", "KOREAN", "LANGUAGES", "Language"]


@dataclass(frozen=True, slots=True)
class Language:
    """How a run is told.

    `option` is what a command needs to tell it so, too. `phrases` are those of `phrases`, `terminal_phrases` and
    `profile_phrases`, `steps` the book's six steps. `sentence` tells one event (`sentences.sentence`), `row` many alike
    ones, `crash` why a process ended, `broken` which rule a call broke, `refusal` what the processor refused,
    `departure` one from the book: its headline and reason. `size` and `short_size` write bytes, `counted` a number of
    what an English noun names. `finish` is done to filled phrases.
    """

    option: str
    phrases: Mapping[str, Phrase]
    steps: Mapping[int, str]
    sentence: Callable[..., str]
    row: Callable[[Row], str]
    crash: Callable[[Crash], CrashWords]
    broken: Callable[[Call], str]
    refusal: Callable[[Signal], str]
    departure: Callable[[Occurrence], tuple[str, str]]
    size: Callable[[int], str]
    short_size: Callable[[int], str]
    counted: Callable[[int, str], str]
    finish: Callable[[str], str]

    def say(self, name: str, *values: object) -> str:
        """Return the phrase *name* with the *values* in its holes."""
        return self.finish(self.template(name).format(*values))

    def template(self, name: str) -> str:
        """Return the phrase *name* with its holes."""
        phrase = self.phrases[name]
        assert isinstance(phrase, str), name
        return phrase

    def choose(self, name: str, which: str) -> str:
        """Return that of the phrases *name* which *which* chooses; *which* itself where none is known for it."""
        choice = self.phrases[name]
        assert not isinstance(choice, str), name
        return choice.get(which, which)


def _departure(found: Occurrence) -> tuple[str, str]:
    return found.title, found.why


def _departure_in_korean(found: Occurrence) -> tuple[str, str]:
    return DEPARTURES_IN_KOREAN[found.id]


ENGLISH: Final = Language(
    option="", phrases={**PHRASES["en"], **TERMINAL_PHRASES["en"], **PROFILE_PHRASES["en"]}, steps=steps_in("en"),
    sentence=sentence, row=row_words, crash=crash_words, broken=broken_words, refusal=exception_words,
    departure=_departure, size=size, short_size=short_size, counted=plural, finish=str,
)  # fmt: skip
KOREAN: Final = Language(
    option=" --lang ko", phrases={**PHRASES["ko"], **TERMINAL_PHRASES["ko"], **PROFILE_PHRASES["ko"]},
    steps=steps_in("ko"),
    sentence=korean_sentence, row=korean_row, crash=crash_in_korean, broken=broken_in_korean, refusal=korean_refusal,
    departure=_departure_in_korean, size=korean_size, short_size=korean_short_size, counted=korean_counted,
    finish=with_particles,
)  # fmt: skip

LANGUAGES: Final = {"en": ENGLISH, "ko": KOREAN}
"""By the name that --lang takes."""
