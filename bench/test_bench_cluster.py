"""Speed of the cluster model: pure Python arithmetic on a few dozen kernels, bound by the interpreter."""

from wsekern.cluster import deploy, pareto, predict, serve, sweep
from wsekern.cluster.system import ClusterSystem
from wsekern.queueing.traffic import poisson
from wsekern.workload import Request, load_config

LLAMA = load_config("llama3-70b")
R1 = load_config("deepseek-r1")


def rate(benchmark, predictions: int) -> float:
    """Predictions per second; 0 where nothing is timed."""
    return predictions / benchmark.stats.stats.median if benchmark.stats else 0.0


def test_predict_one_step(benchmark):
    """One decode step with its nearest measured points; bound by about forty kernel formulas."""
    found = benchmark(predict, LLAMA, "h100x8", context=4096, batch=16)
    assert 0.005 < found.seconds < 0.03
    benchmark.extra_info.update(goal="<= 1 ms", predictions_per_s=rate(benchmark, 1), engine="cluster")


def test_serve_one_request(benchmark):
    """Users who take turns, in closed form: some fifteen steps make the tables of the queue."""
    found = benchmark(serve, LLAMA, Request(1024, 256, 16, "bf16"), "h100x8")
    assert found.tokens_per_second > 500
    benchmark.extra_info.update(goal="<= 1 ms", predictions_per_s=rate(benchmark, 1), engine="cluster")


def test_an_hour_of_traffic_on_a_cluster(benchmark):
    """9,000 requests on eight engines: their tables, the steps of all, power."""
    deployment, traffic = deploy(load_config("llama3-8b"), "h100x8", context=2300, tp=1, dp=8), poisson(2.5, 9000, 2000, 300)

    def run() -> float:
        system = ClusterSystem.of(deployment, traffic)
        return system.watts(system.simulate(traffic))

    assert 1000 < benchmark(run) < 12_000
    benchmark.extra_info.update(goal="<= 0.1 s", requests_per_s=rate(benchmark, len(traffic)), engine="cluster")


def test_pareto_sweep_of_a_rack(benchmark):
    """Every layout and batch of an expert model on 72 GPUs, and its front."""
    points = benchmark.pedantic(lambda: sweep(R1, "gb200-nvl72", precision="fp8"), rounds=3)
    assert len(points) > 300 and len(pareto(points)) > 5
    benchmark.extra_info.update(goal="<= 2 s", predictions_per_s=rate(benchmark, len(points)), engine="cluster")


def test_ten_thousand_configurations(benchmark):
    """10,000 configurations, one process; bound by the interpreter."""

    def run() -> int:
        count = 0
        while count < 10_000:
            for cluster in ("h100x8", "h200x8", "b200x8", "gb200-nvl72"):
                count += len(sweep(LLAMA, cluster, prompt=512 + count % 512))
        return count

    assert benchmark.pedantic(run, rounds=1) >= 10_000
    benchmark.extra_info.update(goal="<= 20 s on two cores", predictions_per_s=rate(benchmark, 10_000),
                                engine="cluster")
