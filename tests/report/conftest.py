"""Pages and timelines as commands write them, each made once."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner

from wsekern.cli import cli


class Written(NamedTuple):
    """What a command wrote beside each other."""

    page: Path
    data: dict[str, Any]
    timeline: Path


COMMANDS = {
    "compare": "compare llama3-8b --prompt 256 --output 32",
    "several": "compare llama3-8b --prompt 256 --output 32 --cluster h100x8,b200x8",
    "gpu": "predict gpu llama3-8b --phase decode --context 1024",
    "run": "run sample --prompt Once --tokens 3",
}


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    """Run a command of :data:`COMMANDS` with all that it can write, once."""
    known: dict[str, Written] = {}

    def write(name: str) -> Written:
        if name not in known:
            folder = tmp_path_factory.mktemp(name)
            page, data, timeline = (folder / file for file in ("page.html", "data.json", "timeline.json"))
            more = ["--timeline", str(timeline)] if name != "gpu" else []
            done = CliRunner().invoke(cli, [*COMMANDS[name].split(), "--html", str(page), "--json", str(data), *more])
            assert done.exit_code == 0, done.output
            known[name] = Written(page, json.loads(data.read_text()), timeline)
        return known[name]

    return write
