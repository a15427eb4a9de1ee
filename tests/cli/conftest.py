"""The command line in this process."""

import sys

import pytest

from wsekern.cli import main


@pytest.fixture
def wsekern(monkeypatch, capsys):
    """Run a command in this process; return its exit code, output and errors."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["wsekern", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        return stop.value.code, *capsys.readouterr()

    return run
