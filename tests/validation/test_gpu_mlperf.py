"""MLPerf's token rates at the load that its rules allow."""

import pytest

from wsekern.validation.gpu_mlperf import predict_mlperf
from wsekern.validation.gpu_rows import Refused

ROW = {"gpu": "NVIDIA B200-SXM-180GB", "n_gpus": "8", "model": "llama2-70b-99", "precision": "fp4", "notes": "",
       "batch_or_concurrency": "MLPerf Offline"}


def rate(**changes):
    return predict_mlperf({**ROW, **changes})[1]


def test_tighter_limits_allow_no_more_tokens():
    names = ("Offline", "Server", "Interactive")
    offline, server, interactive = (rate(batch_or_concurrency=f"MLPerf {name}") for name in names)
    assert offline >= server >= interactive > 0.0
    assert predict_mlperf(ROW)[0] == "MLPerf Offline dense"


def test_twice_the_gpus_are_twice_the_copies():
    assert rate(n_gpus="16") == pytest.approx(2 * rate())


def test_models_and_scenarios_without_rules_here_are_refused():
    with pytest.raises(Refused, match="is not known here"):
        rate(batch_or_concurrency="MLPerf Poisson")
    with pytest.raises(Refused, match="is not known here"):
        rate(model="gpt-oss-120b")
    with pytest.raises(Refused, match="no layout holds"):
        rate(model="llama3.1-405b", gpu="NVIDIA L40S", n_gpus="1")
