"""What vector forms of SiLU and exponentials cost the bundled sample model."""

import pytest

from wsekern.calibration.activations import TEXT, main
from wsekern.inference.mapping import DEFAULT_ACTIVATIONS
from wsekern.inference.perplexity import Arithmetic, exact_logits, score
from wsekern.machine import load_machine
from wsekern.ops.local.rows import FORMS
from wsekern.workload.checkpoint import load_checkpoint
from wsekern.workload.request import WAFER_PRECISIONS
from wsekern.workload.sample import sample_path


@pytest.mark.parametrize(("precision", "change", "divergence"), [("fp16", 2e-3, 2e-5), ("bf16", 5e-3, 1e-3)])
def test_vector_forms_cost_no_more_than_the_precision_does(precision, change, divergence):
    checkpoint = load_checkpoint(sample_path())
    tokens = checkpoint.encode(TEXT)[:64]
    exact, machine = exact_logits(checkpoint, tokens), load_machine("wse3")
    found = {form: score(checkpoint, machine, tokens, exact, Arithmetic(precision, activations=form), (12, 12))
             for form in FORMS}
    for one in found.values():
        assert abs(one.nats - one.exact_nats) < change and 0 < one.divergence < divergence
    assert found[DEFAULT_ACTIVATIONS[precision]].divergence < 1.5 * found["scalar"].divergence
    assert found["vector"].cycles_per_token < min(found[form].cycles_per_token for form in FORMS if form != "vector")


def test_the_command_prints_a_row_for_every_precision_and_form(capsys):
    assert main(["--tokens", "3"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[2:]]
    assert [(row[0], row[1]) for row in rows] == [(precision, form) for precision in WAFER_PRECISIONS for form in FORMS]
    assert all(2 < float(row[3]) < 1e4 for row in rows)
