"""What the kernel did inside steps 3 and 6, in words: behind an event's sentence, or on a line of its own."""

from __future__ import annotations

from observer.model.events import Event
from observer.story.kernel_side import KernelSum, work_of
from observer.story.language import Language
from observer.story.wording import moment

__all__ = ["kernel_words", "told"]


def told(language: Language, event: Event, moved: int | None = None) -> str:
    """Tell one event, and behind it what the kernel did for it, where that was recorded."""
    done = work_of(event)
    return language.sentence(event, moved) + (f"; {kernel_words(done, language)}" if done is not None else "")


def kernel_words(done: KernelSum, language: Language) -> str:
    """Say it: `kernel: 1 page of order 0, zeroed, frame 0x246f36, 1.1 µs`."""
    said = [*_pages(done, language)]
    if done.others:
        said.append(language.say("kernel_others", language.counted(done.others, "page")))
    if done.count == 1:
        said.append(moment(done.ns))
    else:
        said.append(language.say("kernel_each", moment(done.ns // done.count), *_span(done.least, done.most)))
    if done.handling:
        said[-1] += f" ({language.say('kernel_handling', moment(done.handling // done.count))})"
    return language.say("kernel_did", ", ".join(said))


def _span(least: int, most: int) -> tuple[str, str]:
    """Write two times, the first without its unit where that is the other's, too."""
    low, high = moment(least), moment(most)
    figure, _space, unit = low.partition(" ")
    return (figure if high.endswith(f" {unit}") else low), high


def _pages(done: KernelSum, language: Language) -> list[str]:
    first, pages = done.first, language.counted(done.pages, "page")
    if not done.pages:
        return [language.say("kernel_no_page")]
    if done.count > 1 or first.frame is None:
        return [pages]
    name = "kernel_pages" if done.pages == 1 << (first.order or 0) else "kernel_pages_from"
    zeroed = [language.say("kernel_zeroed")] if first.zeroed else []
    return [language.say(name, pages, first.order), *zeroed, language.say("kernel_frame", hex(first.frame))]
