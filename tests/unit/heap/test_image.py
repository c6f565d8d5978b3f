"""A memory as it is read: words that are there, and those that are not."""

from __future__ import annotations

from observer.heap.image import PIECE, Image
from tests.unit.heap.building import PAGE, FakeMemory

START = 0x5581_2340_0000


def memory(*pages: int) -> FakeMemory:
    """So many pages of a piece are there; each word holds its own address."""
    made = FakeMemory()
    for page in pages:
        made.map(START + page * PAGE, PAGE)
        for address in range(START + page * PAGE, START + page * PAGE + PAGE, 8):
            made.put(address, address)
    return made


def test_words_that_are_there_are_read() -> None:
    image = Image(memory(0, 1))
    assert image.word(START + 0x18) == START + 0x18
    assert image.words(START + 0x20, 2) == [START + 0x20, START + 0x28]
    assert image.words(START + PAGE - 8, 2) == [START + PAGE - 8, START + PAGE]
    assert image.look(START + 0x40, 2) == [START + 0x40, START + 0x48]


def test_words_of_pages_that_are_not_there_are_none() -> None:
    image = Image(memory(0))
    assert image.word(START + PAGE) is None
    assert image.words(START + PAGE, 2) is None
    assert image.words(START + PAGE - 8, 2) is None
    assert image.look(START + PAGE, 1) is None
    assert image.array(START + PAGE - 8, START + PAGE + 8).tolist() == [START + PAGE - 8, 0]


def test_odd_and_impossible_addresses_have_no_words() -> None:
    image = Image(memory(0))
    for address in (START + 4, 0, -8, 1 << 47, 1 << 63):
        assert image.word(address) is None
        assert image.words(address, 2) is None
        assert image.look(address, 2) is None


def test_an_array_goes_through_several_pieces() -> None:
    far = PIECE // PAGE
    image = Image(memory(far - 1, far))
    found = image.array(START + PIECE - 16, START + PIECE + 16).tolist()
    assert found == [START + PIECE - 16, START + PIECE - 8, START + PIECE, START + PIECE + 8]


def test_no_more_is_read_than_is_allowed() -> None:
    image = Image(memory(0, PIECE // PAGE), most_bytes=PAGE)
    assert image.word(START) == START
    assert image.word(START + PIECE) is None
    assert image.why_absent(START + PIECE) == "it is larger than what is read of a heap"


def test_why_a_word_is_absent() -> None:
    made = memory(0, 1)
    made.lose(START + PAGE, swapped=True)
    image = Image(made)
    assert image.why_absent(START + PAGE) == "pages of it are swapped out"
    assert image.why_absent(START + 2 * PAGE) == ""


def test_findings_beyond_a_number_are_counted() -> None:
    image = Image(memory())
    for i in range(103):
        image.found("odd", i)
    assert (len(image.findings), image.more_findings) == (100, 3)
