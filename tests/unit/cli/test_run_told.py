"""What observer run tells on standard error when the program has ended, in the language that was asked for."""

from __future__ import annotations

import argparse
from collections import deque
from pathlib import Path

import pytest

from observer.cli import run
from observer.runs.told import Glanced, Story
from tests.builders import meta, story_run


def glanced() -> Glanced:
    taken = Glanced()
    for event in story_run():
        taken.glance.take(event)
    return taken


def told() -> Story:
    taken = Story()
    for event in story_run():
        deque(taken.telling.take(event), maxlen=0)
    deque(taken.telling.finish(), maxlen=0)
    return taken


@pytest.mark.parametrize(
    ("lang", "screen", "story"),
    [
        ("en", "./story ended with status 0 after 0.062 s: 331 events", "The program ended with status 0."),
        ("ko", "./story 0.062초 만에 상태 0으로 끝남: 사건 331개", "프로그램이 상태 0으로 끝났다."),
    ],
)
def test_the_end_is_told_in_the_language(
    lang: str, screen: str, story: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run._tell(meta(), Path("story.trace"), glanced(), lang)
    assert capsys.readouterr().err.splitlines()[0] == screen
    run._tell(meta(), Path("story.trace"), told(), lang)
    assert story in capsys.readouterr().err


def test_english_is_told_where_nothing_is_asked_for() -> None:
    parser = argparse.ArgumentParser()
    run.configure(parser)
    assert parser.parse_args(["--", "./story"]).lang == "en"
    assert parser.parse_args(["--lang", "ko", "--", "./story", "--lang", "de"]).lang == "ko"
