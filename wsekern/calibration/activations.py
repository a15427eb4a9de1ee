"""What each form of SiLU and exponentials costs a model: its mean negative log likelihood of a text, executed on the wafer.

``python -m wsekern.calibration.activations`` prints, for the bundled sample model, every precision and form beside the exact
functions in float32 (the plain reference). ``DEFAULT_ACTIVATIONS`` of :mod:`wsekern.inference.mapping` rests on it.
"""

import argparse

from wsekern.inference.perplexity import Arithmetic, Score, exact_logits, score
from wsekern.machine import load_machine
from wsekern.ops.local.rows import FORMS
from wsekern.output import run_and_exit
from wsekern.workload.checkpoint import load_checkpoint
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


def row(score: Score) -> str:
    """A line of the table."""
    how = score.arithmetic
    return (f"{how.precision:9}  {how.activations:11}  {score.nats:8.5f}  {score.perplexity:8.3f}  "
            f"{score.nats - score.exact_nats:+9.5f}  {score.divergence:9.2e}  {score.cycles_per_token:8,.0f}")


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m wsekern.calibration.activations", description=__doc__)
    parser.add_argument("--tokens", type=int, default=256, help="how many tokens of the text (default: 256)")
    checkpoint = load_checkpoint(sample_path())
    tokens = checkpoint.encode(TEXT)[:parser.parse_args(arguments).tokens]
    exact, machine = exact_logits(checkpoint, tokens), load_machine("wse3")
    print(f"{checkpoint.config.name}, {len(tokens)} tokens of a tale")
    print("precision  form             nats  perplex.     change  divergence    cycles")
    for precision in WAFER_PRECISIONS:
        for form in FORMS:
            print(row(score(checkpoint, machine, tokens, exact, Arithmetic(precision, activations=form), (16, 16))), flush=True)
    return 0


if __name__ == "__main__":
    run_and_exit(main)
