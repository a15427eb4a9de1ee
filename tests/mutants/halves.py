"""Mutants of the fp16 and bf16 arithmetic in C, by hand: one operator or number of ``src/common/wsekern_half.h`` is changed.

    python tests/mutants/halves.py N [--seed S] [--add FILE.json]

compiles the header with one change and lets ``tests/tiles/test_half.py`` use it: does a test fail? It takes a compiler, and the
installed package for the tests' other kernels. Figures as :mod:`tests.mutants.count` prints and keeps them.
"""

import argparse
import ctypes
import importlib.util
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).parents[2]))     # behind everything: the package that is tested is the installed one

from tests.fuzz.figures import keep

ROOT = Path(__file__).parents[2]
HEADER = ROOT / "src" / "common" / "wsekern_half.h"
SECONDS = 60
"""Of the processor's time: a mutant whose tests take longer is killed too."""
SWAPS = {"<<": ">>", ">>": "<<", "<=": "<", ">=": ">", "==": "!=", "&&": "||", "||": "&&", "<": "<=", ">": ">=", "+": "-",
         "-": "+", "*": "+", "&": "|", "|": "&", "!": ""}
TOKEN = re.compile(r"0x[0-9a-f.]+(?:p-?\d+)?f?u?|\b\d+u?\b|<<|>>|<=|>=|==|&&|\|\||(?<![-+])[-+*&|<>!](?![-+=])")
LOOPS = """
void half_to_float(const uint16_t *a, float *out, long n) { for (long i = 0; i < n; i++) out[i] = wsk_half_to_float(a[i]); }
void float_to_half(const float *a, uint16_t *out, long n) { for (long i = 0; i < n; i++) out[i] = wsk_float_to_half(a[i]); }
void bf16_to_float(const uint16_t *a, float *out, long n) { for (long i = 0; i < n; i++) out[i] = wsk_bf16_to_float(a[i]); }
void float_to_bf16(const float *a, uint16_t *out, long n) { for (long i = 0; i < n; i++) out[i] = wsk_float_to_bf16(a[i]); }
void half_fma(const float *a, const float *b, const float *c, uint16_t *out, long n)
{
    for (long i = 0; i < n; i++)
        out[i] = wsk_half_fma(a[i], b[i], c[i]);
}
"""
LEAST = "at the least normal half both ways round alike"
LARGEST = "halfway beyond the largest half, rounding ends at infinity too"
SAME = {
    "> -> >= in loat((error > 0)": "an error of 0 went another way before",
    "> -> >= in wsk_bits_to_float((error > 0)": "a sum of 0 has no error",
    "< -> <= in t16_t)sign;": LEAST, "0x38800000u -> (0x38800000u + 1)": LEAST,
    ">= -> > in & 0x3ff));": LARGEST, "0x477ff000u -> (0x477ff000u + 1)": LARGEST,
    "<= -> < in | 0x7c00);": "half of the least half is rounded to 0 too",
}
"""Mutants that do what the header does, by how they are told; and why."""
TESTS = ("test_every_half_widens_exactly", "test_rounding_to_half_on_and_next_to_every_midpoint", "test_bf16_both_ways",
         "test_nans_are_quieted_and_keep_their_sign_and_leading_bits",
         "test_fma_of_all_special_triples", "test_fma_of_random_triples")


def places(text: str) -> Iterator[tuple[int, int, str]]:
    """Start, end and replacement of everything that can be changed: no comments, directives, heads of functions or casts."""
    hidden = re.compile(r"/\*.*?\*/|^#.*?$|^static inline [^{;]*?\)|\((?:u?int\d+_t|float|int)\)|memcpy\([^)]*\)", re.S | re.M)
    spans = [match.span() for match in hidden.finditer(text)]
    for match in TOKEN.finditer(text):
        if any(start <= match.start() < end for start, end in spans):
            continue
        word = match[0]
        if word in SWAPS:
            yield *match.span(), SWAPS[word]
        elif "p" in word:
            yield *match.span(), word.replace("p-24", "p-23")
        else:
            yield *match.span(), f"({word} + 1)"


class Header:
    """What the tests call of the compiled module, of a library that was made of the header."""

    def __init__(self, path: Path):
        self._library = ctypes.CDLL(str(path))

    def __getattr__(self, name: str) -> Callable[..., None]:
        def call(*arrays: np.ndarray) -> None:
            held = [np.ascontiguousarray(array) for array in arrays]
            getattr(self._library, name)(*(ctypes.c_void_p(array.ctypes.data) for array in held), ctypes.c_long(held[0].size))

        return call


def compiled(text: str, folder: Path, name: str) -> Path | None:
    """A library of the header's functions; None where it does not compile."""
    source, library = folder / f"{name}.c", folder / f"{name}.so"
    source.write_text(text + LOOPS)
    done = subprocess.run([os.environ.get("CC", "cc"), "-std=gnu11", "-O1", "-w", "-ffp-contract=off", "-shared", "-fPIC",
                           str(source), "-o", str(library)], check=False, capture_output=True)
    return library if done.returncode == 0 else None


def lives(library: Path, tests: Any) -> bool:
    """Whether all tests pass with a library, in a process of their own."""
    process = os.fork()
    if process == 0:
        code = 1
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            tests._tiles = Header(library)
            for name in TESTS:
                getattr(tests, name)()
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(process, 0)[1] == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mutants", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--add", type=Path)
    asked = parser.parse_args()
    spec = importlib.util.spec_from_file_location("tests_of_halves", ROOT / "tests" / "tiles" / "test_half.py")
    tests = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tests)
    text = HEADER.read_text()
    known, tried, survivors = list(places(text)), 0, []
    with tempfile.TemporaryDirectory() as name:
        if not lives(compiled(text, Path(name), "plain"), tests):
            raise SystemExit("the tests fail as the header is")
        for number, (start, end, new) in enumerate(Random(asked.seed).sample(known, min(asked.mutants, len(known)))):
            library = compiled(text[:start] + new + text[end:], Path(name), f"m{number}")
            if library is None:
                continue
            line = text.count("\n", 0, start) + 1
            around = text[max(0, start - 25):end + 20].replace("\n", " ").strip()
            what, alive = f"line {line}: {text[start:end]} -> {new or 'nothing'} in {around}", lives(library, tests)
            reason = next((reason for told, reason in SAME.items() if told in what), "") if alive else ""
            what += f" (does the same: {reason})" if reason else ""
            tried, survivors = tried + 1, survivors + [what] * alive
            print(f"    {'survived' if alive else 'killed'}: {what}", flush=True)
    print(f"{HEADER.name}: {tried} of {len(known)} mutants, {tried - len(survivors)} killed")
    if asked.add:
        found = {"places": len(known), "mutants": tried, "killed": tried - len(survivors), "survivors": survivors}
        keep(asked.add, "mutants", {"src/common/wsekern_half.h": found})


if __name__ == "__main__":
    main()
