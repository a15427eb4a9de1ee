"""Turn plain-text books into clean stories: no licence text, no headings, no notes, one paragraph per line, ASCII."""

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from wsekern.errors import InputError


@dataclass(frozen=True)
class Book:
    """A Project Gutenberg e-book the bundled model was trained on; ``sha256`` is of the cleaned text."""

    number: int
    title: str
    author: str
    sha256: str


BOOKS: tuple[Book, ...] = (
    Book(
        2591,
        "Grimms' Fairy Tales",
        "Jacob and Wilhelm Grimm, translated by Edgar Taylor and Marian Edwardes",
        "35c8c2ff570982e0d11fd195339ed0fb5a258642a36720d0e06331897264eafe",
    ),
    Book(
        5314,
        "Household Tales by Brothers Grimm",
        "Jacob and Wilhelm Grimm, translated by Margaret Hunt",
        "ff2f1e3a4fd5676407da1eb10109380a74b3a4a12b344a7dcda44fb0930bbcd7",
    ),
    Book(
        503,
        "The Blue Fairy Book",
        "edited by Andrew Lang",
        "237c63a58d507292baed1c5f9ffa6a7dc3ba3119f8c666855a2baae670dfbdc2",
    ),
    Book(
        640,
        "The Yellow Fairy Book",
        "edited by Andrew Lang",
        "8daeeb23fd23a5d4de4f0487cf71333629071ae553d20fb420c371bca1bee357",
    ),
    Book(
        7439,
        "English Fairy Tales",
        "collected by Joseph Jacobs",
        "a7aaa1e99e4abb7f98799821b44d495409fe2444dd44660d000ad23e9332ef28",
    ),
    Book(
        7128,
        "Indian Fairy Tales",
        "collected by Joseph Jacobs",
        "3f51ea9ed1867f0724b8d22d6b9985ae77be6832cf559d666090bc99112cc51a",
    ),
    Book(
        11339,
        "Aesop's Fables; a new translation",
        "Aesop, translated by V. S. Vernon Jones",
        "06e6db46f43cf00c34b9018d324ccd49d343b9d9875de0044f8aad739e374933",
    ),
    Book(
        28,
        "The Fables of Aesop",
        "Aesop, retold by Joseph Jacobs",
        "013a44c7d392e8e4cb6a05e62099ead977ba96bbf6be10311772e14328207591",
    ),
)

_START = re.compile(r"\*\*\* ?START OF TH(?:E|IS) PROJECT GUTENBERG EBOOK.*?\*\*\*", re.S)
_END = re.compile(r"\*\*\* ?END OF TH(?:E|IS) PROJECT GUTENBERG EBOOK")
_EDITORIAL = re.compile(r"preface|notes|contents|introduction|transcriber|bibliograph|illustrations|index", re.I)
_APPENDIX = re.compile(r"^NOTES AND REFERENCES$", re.M | re.I)
_ASCII = str.maketrans(
    {"“": '"', "”": '"', "‘": "'", "’": "'", "—": "--", "–": "-", "…": "...", "Æ": "Ae", "æ": "ae", "œ": "oe", "_": ""}
)
_NOT_PROSE = re.compile(r"[\d\[\]{}*|=<>~]|e-?text|gutenberg|produced by", re.I)
_OPENING_QUOTE = re.compile(r"(^|[\s(\"]|--)'(?=[A-Z])")
_CLOSING_QUOTE = re.compile(r"(?<=[,.!?;:-])'(?=\s|$|--)")
_SHORTEST_STORY = 200  # characters; shorter pieces are title pages and dedications
_LONGEST_HEADING = 70  # characters


def read_book(path: Path) -> list[str]:
    """Return the stories of the plain-text book at ``path``, cleaned (see `clean`)."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot read this text file ({error.strerror}); give a plain-text book") from error
    stories = clean(data.decode("utf-8", errors="replace"))
    if not stories:
        raise InputError(f"{path}: no story of {_SHORTEST_STORY} characters left after cleaning; give English prose")
    return stories


def digest(stories: list[str]) -> str:
    """SHA-256 (hex) of the cleaned stories, separated by an empty line."""
    return hashlib.sha256("\n\n".join(stories).encode()).hexdigest()


def clean(text: str) -> list[str]:
    """Split the text of a book into stories at its headings; a story is one paragraph per line.

    Dropped are the Gutenberg header and licence, headings, prefaces, notes and every paragraph that is not plain
    prose (tables, lists, anything with digits or brackets).
    """
    stories: list[list[str]] = [[]]
    editorial = False
    for paragraph in _paragraphs(_without_frame(text)):
        if _is_heading(paragraph):
            editorial = bool(_EDITORIAL.search(paragraph))
            stories.append([])
        elif _is_prose(paragraph) and not editorial:
            stories[-1].append(paragraph)
    joined = ("\n".join(story) for story in stories)
    return [story for story in joined if len(story) >= _SHORTEST_STORY]


def _without_frame(text: str) -> str:
    """Cut what stands around the book itself: Gutenberg's header and licence, and an appendix of notes."""
    text = text.replace("\r\n", "\n")
    start, end = _START.search(text), _END.search(text)
    text = text[start.end() if start else 0 : end.start() if end else len(text)]
    appendices = [match.start() for match in _APPENDIX.finditer(text) if match.start() > len(text) // 2]
    return text[: appendices[0]] if appendices else text


def _paragraphs(text: str) -> list[str]:
    """Unwrapped paragraphs in ASCII, with one kind of quotation mark."""
    blocks = (" ".join(block.split()) for block in re.split(r"\n\s*\n", text.translate(_ASCII)))
    ascii_blocks = (unicodedata.normalize("NFKD", block).encode("ascii", "ignore").decode() for block in blocks)
    return [_double_quotes(block) for block in ascii_blocks if block]


def _double_quotes(paragraph: str) -> str:
    """Write 'speech' as "speech": half of the books use single quotes, and a tiny model learns one habit better."""
    return _CLOSING_QUOTE.sub('"', _OPENING_QUOTE.sub(r'\1"', paragraph))


def _is_heading(paragraph: str) -> bool:
    """A short line without a sentence's end, or in capitals: the title of a story or a chapter."""
    if len(paragraph) > _LONGEST_HEADING:
        return False
    return paragraph.isupper() or paragraph[-1] not in ".!?;:,\"')-"


def _is_prose(paragraph: str) -> bool:
    """Sentences only: no digits, brackets or stars, mostly lower-case letters."""
    if paragraph[-1] not in ".!?;:,\"')-" or _NOT_PROSE.search(paragraph):
        return False
    return sum(character.islower() for character in paragraph) > 0.5 * len(paragraph)
