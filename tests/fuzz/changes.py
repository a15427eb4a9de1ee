"""Inputs that are nearly right: values, bytes and arrays, changed here and there as a ``random.Random`` says.

Hypothesis hands in a Random of its own (``st.randoms()``), so that what fails gets smaller; ``count.py`` a seeded one.
"""

import copy
import math
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import numpy as np

from wsekern.errors import WsekernError

VALUES = (None, True, False, 0, -1, 1, 2, 3, 7, 10**9, 10**10, 2**63, 2**64, 10**400, -0.0, 0.5, 1e-308, 1e308, -1e308,
          math.nan, math.inf, "", "x", "\x00", "é", "1", "1e400", [], {}, [None], [[]], {"": None})
"""Values of every JSON type, those at the ends of ranges among them."""

PIECES = (b"\x00", b"\n", b'"', b"[", b"]", b"{", b"}", b"(", b")", b"=", b",", b"-", b".", b"@", b"1e999", b"9" * 30, b"nan",
          b"[" * 200, b"(" * 200, b"\xff\xfe", b"\r", b";", b"#", b" " * 40, b"\xff" * 8, b"\x00" * 8)


def odd_value(random: Random) -> Any:
    """A value of some JSON type."""
    kind = random.randrange(8)
    if kind < 4:
        return copy.deepcopy(random.choice(VALUES))
    if kind == 4:
        return random.randrange(-2 ** random.randrange(1, 70), 2 ** random.randrange(1, 70))
    if kind == 5:
        return random.uniform(-1, 1) * 10.0 ** random.randrange(-20, 20)
    if kind == 6:
        letters = [random.choice((random.randrange(32, 127), random.randrange(0xD800))) for _ in range(random.randrange(8))]
        return "".join(map(chr, letters))
    return [random.randrange(-5, 300) for _ in range(random.randrange(4))]


def places(data: Any, at: tuple = ()) -> list[tuple]:
    """Paths of all values inside ``data``."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [path for key, value in items for path in ((*at, key), *places(value, (*at, key)))]


def changed_data(random: Random, data: Any, most: int = 3) -> Any:
    """``data`` (nested dicts and lists) with 1 to ``most`` values replaced, taken away or put under another key."""
    data = copy.deepcopy(data)
    for _ in range(random.randrange(1, most + 1)):
        found = places(data)
        if not found:
            break
        *way, last = random.choice(found)
        holder = data
        for key in way:
            holder = holder[key]
        kind = random.choice(("replace", "replace", "replace", "remove", "rename"))
        value = holder.pop(last)
        if kind == "replace":
            value = odd_value(random)
        if kind != "remove" and isinstance(holder, list):
            holder.insert(last, value)
        elif kind != "remove":
            holder[last if kind == "replace" else str(odd_value(random))[:6]] = value
    return data


def changed_bytes(random: Random, text: bytes, most: int = 4, whole: bool = False) -> bytes:
    """``text`` with 1 to ``most`` pieces overwritten, put in, taken out or doubled; ``whole``: its length stays."""
    for _ in range(random.randrange(1, most + 1)):
        start = random.randrange(len(text) + 1)
        end = min(len(text), start + random.randrange(41))
        kind = random.randrange(3 if whole else 6)
        piece = random.choice(PIECES)
        if random.random() < 0.4:
            piece = bytes(random.randrange(256) for _ in range(random.randrange(1, 7)))
        if kind < 3:
            piece, end = (piece, min(len(text), start + len(piece)))
            piece = piece[:end - start] if whole else piece
        elif kind == 3:
            end = start
        elif kind == 4:
            piece = b""
        else:
            piece = 2 * text[start:end]
        text = text[:start] + piece + text[end:]
    return text


NUMBERS = ("-1", "0", "1", "2", "1.5", "70000", "1e9", "1e400", "nan", "-inf", "9" * 30, "0x10", "1_0", "")


def changed_words(random: Random, text: str, others: Sequence[str] = NUMBERS, most: int = 3) -> str:
    """``text`` with 1 to ``most`` words or signs replaced, put in or taken out: by ``others``, or by words of it."""
    words = [word for word in re.split(r"(\W)", text) if word]
    for _ in range(random.randrange(1, most + 1)):
        at = random.randrange(len(words) + 1)
        new = random.choice(others) if random.random() < 0.6 else random.choice(words) if words else str(odd_value(random))[:12]
        words[at:at + random.randrange(3)] = [new] if random.random() < 0.8 else []
    return "".join(words)


def changed_text(random: Random, text: bytes) -> bytes:
    """``text`` with other words or other bytes."""
    if random.random() < 0.5:
        return changed_words(random, text.decode()).encode("utf-8", "replace")
    return changed_bytes(random, text)


def toml(data: Any) -> str:
    """Nested dicts and lists as inline TOML."""
    if isinstance(data, dict):
        return "{" + ", ".join(f"{toml(str(key))} = {toml(value)}" for key, value in data.items()) + "}"
    if isinstance(data, list | tuple):
        return "[" + ", ".join(map(toml, data)) + "]"
    if isinstance(data, float) and not math.isfinite(data):
        return str(data)
    return msgspec.json.encode(data).decode().replace("null", '"null"')


def toml_file(data: Any) -> bytes:
    """``data`` as a TOML file; what is no table as one that nobody reads."""
    lines = [f"{toml(str(key))} = {toml(value)}" for key, value in data.items()] if isinstance(data, dict) else ["x"]
    return "\n".join(lines).encode("utf-8", "replace")


TYPES = ("f4", "f2", "u2", "f8", "u4", "i8", "u1", "?", "c8", "O", "S3", "M8[s]", ">f4", "i4")


def odd_array(random: Random, shape: tuple[int, ...], dtype: Any) -> Any:
    """An array that is nearly of ``shape`` and ``dtype``: maybe with other axes, of another type, or lying in other steps."""
    sizes = list(shape)
    if random.random() < 0.3:
        for _ in range(random.randrange(1, 3)):
            kind, at = random.randrange(4), random.randrange(len(sizes) + 1)
            if kind == 0:
                sizes.insert(at, random.choice((0, 1, 2)))
            elif sizes and at < len(sizes):
                sizes[at:at + 1] = [] if kind == 1 else [random.choice((0, 1, 2, 3, 5, 17, sizes[at] + 1))]
    kind = np.dtype(random.choice(TYPES) if random.random() < 0.15 else dtype)
    if kind.names is None:
        values = np.array(random.choice((0, 1, 3)), kind) if kind.kind not in "SM" else np.zeros((), kind)
        array = np.full(sizes, values)
    else:
        array = np.zeros(sizes, kind)
    if array.ndim == 0 or random.random() < 0.6:
        return array
    return _stepped(random, array)


def _stepped(random: Random, array: np.ndarray) -> Any:
    """The values of ``array`` in other steps, read only, or no array at all."""
    at, kind = random.randrange(array.ndim), random.randrange(7)
    before = (slice(None),) * at
    if kind == 0:
        return array.copy(order="F")
    if kind == 1:
        return np.repeat(array, 2, at)[(*before, slice(None, None, 2))]
    if kind == 2:
        return np.flip(array, at)
    if kind == 3:
        return np.broadcast_to(array[(*before, slice(0, 1))], array.shape)
    if kind == 4 and array.dtype.kind in "fui":     # where no element is aligned
        return np.frombuffer(b"\0" + array.tobytes(), array.dtype, offset=1).reshape(array.shape)
    if kind == 5:
        array.flags.writeable = False
        return array
    return random.choice((None, "x", 3, -1, 2.5, [], {}, array.tolist() if array.size < 500 else 1))


def read_or_refused(read: Callable[[], Any]) -> Any:
    """What ``read`` gives; None where it refuses, which it does in one line."""
    try:
        return read()
    except WsekernError as error:
        sentence = str(error).strip()
        assert sentence and "\n" not in sentence, f"no sentence: {sentence!r}"
        return None


def in_file(content: bytes, name: str, read: Callable[[Path], Any]) -> Any:
    """What ``read`` gives for a file of that name."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        return read_or_refused(lambda: read(path))
