"""Objects that are keys find each other in every process."""

import pickle
import subprocess
import sys

from wsekern.cluster.engine import load_engine
from wsekern.cluster.hardware import load_cluster
from wsekern.cluster.layout import Deployment, Layout
from wsekern.cluster.precision import PRECISIONS
from wsekern.inference.grid import Grid
from wsekern.inference.programs import PLAIN
from wsekern.machine import load_machine
from wsekern.machine.timing import Timing
from wsekern.workload import load_config

AGAIN = """
import pickle, sys
found = pickle.load(sys.stdin.buffer)
set(found)                                  # each keeps its hash
pickle.dump(found, sys.stdout.buffer)
"""


def test_what_is_read_from_a_pickle_of_another_process_is_found():
    config = load_config("qwen3-4b")
    keys = [config, PLAIN, Grid(config, 9, 9), Timing(load_machine("wse3"), "silicon", "fp16"),
            Deployment(config, load_cluster("b200"), Layout(), PRECISIONS["bf16"], load_engine("stock"))]
    known = {one: number for number, one in enumerate(keys)}
    written = subprocess.run([sys.executable, "-c", AGAIN], input=pickle.dumps(keys), check=True, capture_output=True).stdout
    assert [known[one] for one in pickle.loads(written)] == [0, 1, 2, 3, 4]
