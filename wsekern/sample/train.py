"""Rebuild the bundled sample model from plain-text books.

    python -m wsekern.sample.train --text pg2591.txt pg503.txt ... --out DIR [--minutes 60] [--seed 0]

The books are named in `wsekern.sample.corpus.BOOKS` (download them from gutenberg.org as plain text). Any
other English prose works as well. Needs PyTorch: ``pip install 'wsekern[train]'``. The result is an ordinary Hugging
Face folder: model.safetensors (float16), tokenizer.json, config.json and two small side files.
"""

import argparse
import importlib.util
import sys
from pathlib import Path

from wsekern.errors import InputError
from wsekern.output import run_and_exit
from wsekern.sample import artifacts, corpus

_HELD_OUT_EVERY = 40  # one story in forty is never trained on


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, 2 (input not acceptable) or 130 (stopped by Ctrl-C)."""
    options = _options(arguments)
    try:
        return build(options)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: cannot write {error.filename}: {error.strerror}", file=sys.stderr)
        return 2


def build(options: argparse.Namespace) -> int:
    """Clean the books, train tokenizer and network, and keep the best model in ``options.out`` all the while."""
    _check(options)
    stories = [story for path in options.text for story in _announced(path)]
    trained = [story for index, story in enumerate(stories) if index % _HELD_OUT_EVERY]
    held_out = stories[::_HELD_OUT_EVERY]
    if not trained:
        raise InputError(f"--text: only {len(stories)} story found; at least two are needed, one is held out")
    _require_torch()
    from wsekern.sample import loop, network

    tokenizer = artifacts.train_tokenizer(trained, options.vocab)
    shape = network.Shape(vocab=tokenizer.get_vocab_size())
    artifacts.write_side_files(options.out, tokenizer, artifacts.configuration(shape))
    return loop.train(
        loop.Plan(options.out, options.minutes, options.steps, options.seed, options.threads, options.compile),
        shape,
        loop.token_stream(tokenizer, trained),
        loop.token_stream(tokenizer, held_out),
    )


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m wsekern.sample.train", description=__doc__.split("\n")[0])
    parser.add_argument("--text", nargs="+", type=Path, required=True, metavar="FILE", help="plain-text books")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the model")
    parser.add_argument("--minutes", type=float, default=60.0, help="time to train for (default 60)")
    parser.add_argument("--steps", type=int, help="train for exactly so many steps instead; repeatable for a seed")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights and batches (default 0)")
    parser.add_argument("--vocab", type=int, default=2048, help="tokens in the vocabulary (default 2048)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default 1)")
    parser.add_argument("--compile", action="store_true", help="use torch.compile: faster, needs a C++ compiler")
    return parser.parse_args(arguments)


def _check(options: argparse.Namespace) -> None:
    """Refuse what cannot be trained with, before anything is read."""
    limits = {"steps": 10**9, "minutes": 10**6, "threads": 1024}
    for name, most in limits.items():
        value = getattr(options, name)
        if value is not None and not 0 < value <= most:
            raise InputError(f"--{name} is {value}, expected more than 0 and at most {most:,}")


def _announced(path: Path) -> list[str]:
    """Read a book and print what it is: the digest tells whether it is one of `corpus.BOOKS`."""
    stories = corpus.read_book(path)
    sha256 = corpus.digest(stories)
    known = {book.sha256: f"e-book {book.number}, {book.title}" for book in corpus.BOOKS}
    print(f"{path}: {known.get(sha256, 'not one of the listed books')}, {len(stories)} stories, sha256 {sha256}")
    return stories


def _require_torch() -> None:
    if importlib.util.find_spec("torch") is None:
        raise InputError("training needs PyTorch, which is not installed here: pip install 'wsekern[train]'")


if __name__ == "__main__":
    run_and_exit(main)
