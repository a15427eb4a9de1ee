"""Files that scripts of the SDK find after a run, in the working directory: they look into them, move them, and remove them."""

import json
import os
import uuid
from contextlib import suppress
from pathlib import Path

from wsekern.errors import InputError
from wsekern.output import write_file

WANTED = "WSEKERN_SDK_FILES"
"""Set for commands that run with the SDK's tools; else nothing is left."""


def begun(traces: bool) -> None:
    """Of a run that begins: the note of its job, and the folder of traces, empty, where the script wants one."""
    if os.environ.get(WANTED):
        job("SdkRuntime")
        if traces:
            with suppress(OSError):
                Path("simfab_traces").mkdir(exist_ok=True)


def ended(lines: list[str], stats: dict[str, int | float | str]) -> None:
    """Of a run that ends: ``sim.log`` with what PEs printed, each line behind its cycle, and how many cycles there were;
    ``sim_stats.json`` with the simulator's numbers under the vendor's names; ``run_meta.json``."""
    _leave("sim.log", "\n".join([*lines, f"cycles={stats['cycle_count']}", ""]))
    _leave("sim_stats.json", json.dumps(stats, indent=4) + "\n")
    _leave("run_meta.json", json.dumps({"simulator": "wsekern", "cycle_count": stats["cycle_count"]}) + "\n")


def job(kind: str) -> None:
    """``wsjob-ID.json`` of a job of the appliance, of which there is none."""
    name = f"wsjob-{uuid.uuid4().hex[:22]}"
    _leave(f"{name}.json", json.dumps({"job_id": name, "job_type": kind}))


def _leave(name: str, text: str) -> None:
    if os.environ.get(WANTED):
        with suppress(InputError, OSError):  # where nothing can be written, the run was all the same
            write_file(Path(name), text)
