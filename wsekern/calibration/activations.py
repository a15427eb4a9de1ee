"""What each form of SiLU and exponentials costs a model: its mean negative log likelihood of a text, executed on the wafer.

``python -m wsekern.calibration.activations`` prints, for the bundled sample model, every precision and form beside the exact
functions in float32 (the plain reference). ``DEFAULT_ACTIVATIONS`` of :mod:`wsekern.inference.mapping` rests on it.
"""

import argparse
from dataclasses import dataclass
from math import exp

import numpy as np

from wsekern.inference.mapping import Mapping
from wsekern.inference.reference import ReferenceModel
from wsekern.inference.wafer import WaferModel
from wsekern.machine import load_machine
from wsekern.ops.local.rows import FORMS, Form
from wsekern.workload.checkpoint import Checkpoint, load_checkpoint
from wsekern.workload.request import WAFER_PRECISIONS
from wsekern.workload.sample import sample_path

TEXT = """There was once a poor woman who lived in a little cottage at the edge of a great forest, and she had two children, a
boy and a girl. Every morning the boy went out to gather wood, and the girl fetched water from the well. One day, when
the snow lay deep upon the ground, a gray wolf came to the door and said, "Let me in, for I am cold, and I will do you
no harm." The mother was afraid, but the girl took pity on the beast and opened the door. So the wolf lay down before
the fire, and slept until the morning. When the sun rose he stood up and spoke: "You have been kind to me, and I will
not forget it. If ever you are in need, go to the hill behind the mill, and call me three times." Then he ran away
into the forest, and they saw him no more. The winter passed, and the spring came, and there was nothing left to eat
in the house. Then the girl remembered the words of the wolf, and she put on her red cloak and went up the hill. She
called three times, and the wolf came out from between the trees, and behind him was a golden carriage. "Step in," he
said, "for the king is looking for a wife who has a good heart."
""".replace("\n", " ")
"""A tale in the style of those that the sample model read, written for this measurement: it stands in no book."""


@dataclass(frozen=True)
class Likelihood:
    """Mean negative log likelihood of a token, in nats, and how far it and its distributions are from the exact model's."""

    precision: str
    form: Form
    nats: float
    exact: float
    divergence: float
    """Mean Kullback-Leibler divergence from the exact model's distribution of the next token, in nats."""
    cycles_per_token: float

    def row(self) -> str:
        """A line of the table."""
        return (f"{self.precision:9}  {self.form:11}  {self.nats:8.5f}  {exp(self.nats):8.3f}  {self.nats - self.exact:+9.5f}  "
                f"{self.divergence:9.2e}  {self.cycles_per_token:8,.0f}")


def log_probabilities(logits: np.ndarray) -> np.ndarray:
    """Logits (tokens, vocab) as log probabilities, float64."""
    wide = logits.astype(np.float64)
    wide = wide - wide.max(-1, keepdims=True)
    return wide - np.log(np.exp(wide).sum(-1, keepdims=True))


def exact_distributions(checkpoint: Checkpoint, tokens: list[int]) -> np.ndarray:
    """Log probabilities (tokens, vocab) of what follows each token, by the plain reference."""
    return log_probabilities(ReferenceModel(checkpoint.config, checkpoint.weights).forward(tokens))


def likelihood(checkpoint: Checkpoint, tokens: list[int], exact: np.ndarray, precision: str, form: Form,
               grid: tuple[int, int] = (16, 16)) -> Likelihood:
    """Execute the model on ``tokens``, one after the other, and score every next one."""
    mapping = Mapping(checkpoint.config, *grid, precision, len(tokens), activations=form)
    model = WaferModel(checkpoint.config, checkpoint.weights, load_machine("wse3"), mapping)
    found = log_probabilities(np.array([model.decode(token) for token in tokens]))
    following = np.arange(len(tokens) - 1), tokens[1:]
    divergence = (np.exp(exact) * (exact - found)).sum(-1).mean()
    return Likelihood(precision, form, float(-found[following].mean()), float(-exact[following].mean()), float(divergence),
                      model.engine.cycles / len(tokens))


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m wsekern.calibration.activations", description=__doc__)
    parser.add_argument("--tokens", type=int, default=256, help="how many tokens of the text (default: 256)")
    checkpoint = load_checkpoint(sample_path())
    tokens = checkpoint.encode(TEXT)[:parser.parse_args(arguments).tokens]
    exact = exact_distributions(checkpoint, tokens)
    print(f"{checkpoint.config.name}, {len(tokens)} tokens of a tale; exact: "
          f"{-exact[np.arange(len(tokens) - 1), tokens[1:]].mean():.5f} nats a token")
    print("precision  form             nats  perplex.     change  divergence    cycles")
    for precision in WAFER_PRECISIONS:
        for form in FORMS:
            print(likelihood(checkpoint, tokens, exact, precision, form).row(), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
