"""Two wafers on two Dask workers against one process: seconds of a prompt and the ratio, one thread each.

Run by hand: ``python bench/many_wafers.py [flow|cycle] [CHUNKS]``. Values and clocks must be the same.
"""

import logging
import sys
import time

import numpy as np

from wsekern.inference.execution import place_on_wafers
from wsekern.machine import load_machine
from wsekern.workload.checkpoint import load_checkpoint
from wsekern.workload.sample import sample_path

CHUNK = 16


def main(engine: str = "cycle", chunks: int = 12) -> None:
    """Read a prompt of so many chunks both ways."""
    from distributed import Client, LocalCluster

    checkpoint, machine = load_checkpoint(sample_path()), load_machine("wse3")
    tokens = [1 + number % 50 for number in range(CHUNK * chunks)]
    found = []
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=logging.ERROR) as cluster, \
            Client(cluster) as client:
        for there in (None, client):
            model = place_on_wafers(checkpoint, machine, 2, len(tokens) + 1, CHUNK, engine=engine, client=there)
            begun = time.perf_counter()
            logits = model.prefill(tokens)
            found.append((time.perf_counter() - begun, model.cycles, logits))
    (alone, cycles, logits), (spread, same, others) = found
    assert cycles == same and np.array_equal(logits, others)
    print(f"{engine}, {chunks} chunks of {CHUNK}: one process {alone:.2f} s, two workers {spread:.2f} s: {alone / spread:.2f}x")


if __name__ == "__main__":
    main(*sys.argv[1:2], *map(int, sys.argv[2:3]))
