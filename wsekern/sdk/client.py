"""The client of the vendor's appliance, as scripts use it: every artifact is a folder here, and every system a simulation."""

import hashlib
import json
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

from wsekern.errors import InputError
from wsekern.output import write_file
from wsekern.sdk import artifact, left, runtime
from wsekern.sdk.cslc import cslc, parse
from wsekern.sdk.shell import tools

NOTE = "artifact.json"


class _Context:
    """Something that a ``with`` statement opens and closes: a job of the appliance."""

    def __enter__(self) -> Any:
        left.job(type(self).__name__)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass


class SdkCompiler(_Context):
    """Compiles; resources and version checks of the appliance mean nothing here."""

    def __init__(self, **_: Any) -> None:
        pass

    def compile(self, app_path: str, csl_main: str, options: str = "", out_path: str = ".") -> str:
        """Compile ``csl_main`` in ``app_path``; the artifact's id is the path of its folder."""
        app = Path(app_path).resolve()
        words = shlex.split(options)
        _, given = parse(words)
        name = Path(given.get("o", ["out"])[-1]).name
        number = hashlib.sha256("\0".join([str(app), csl_main, *words]).encode()).hexdigest()[:16]
        folder = Path(out_path).resolve() / f"artifact_{number}"
        folder.mkdir(parents=True, exist_ok=True)
        if cslc([str(app / csl_main), *words, "-o", str(folder / name)]):
            raise RuntimeError(f"{csl_main} does not compile: the errors are on standard error")
        write_file(folder / NOTE, json.dumps({"application": str(app), "out": name}))
        return str(folder)


def _note(path: Path) -> dict[str, str]:
    note = path / NOTE
    if not note.is_file():
        raise InputError(f"{path} is no artifact: it has no {NOTE}; SdkCompiler.compile makes one")
    found: dict[str, str] = json.loads(note.read_text())
    return found


class SdkRuntime(runtime.SdkRuntime, _Context):
    """The runtime of an artifact: loaded and running inside ``with``."""

    def __init__(self, artifact_path: Any, simulator: bool = True, **_: Any) -> None:
        path = Path(artifact_path)
        if not (path / artifact.META).is_file():
            path = path / _note(path)["out"]
        super().__init__(path)

    def __enter__(self) -> "SdkRuntime":
        self.load()
        self.run()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None:
            self.stop()


class SdkLauncher(_Context):
    """Runs commands where the compiled program and the files beside its source lie."""

    def __init__(self, artifact_path: Any, simulator: bool = True, **_: Any) -> None:
        path = Path(artifact_path).resolve()
        note = _note(path)
        self._held = tempfile.TemporaryDirectory(prefix="wsekern-launch-")
        self.folder = Path(self._held.name) / "app"
        shutil.copytree(note["application"], self.folder, symlinks=True, ignore=shutil.ignore_patterns(".git", "artifact_*"))
        shutil.copytree(path / note["out"], self.folder / note["out"], dirs_exist_ok=True)

    def stage(self, path: str) -> None:
        """Put a file or folder beside the program."""
        source = Path(path)
        if source.is_dir():
            shutil.copytree(source, self.folder / source.name, dirs_exist_ok=True)
        else:
            shutil.copy(source, self.folder / source.name)

    def run(self, *commands: str) -> str:
        """What commands print; ``%CMADDR%`` is no address."""
        said = []
        with tools() as environment:
            for command in commands:
                line = command.replace("%CMADDR%", "''")
                done = subprocess.run(["bash", "-c", line], cwd=self.folder, env=environment, check=False,
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                if done.returncode:
                    raise RuntimeError(f"{command!r} ends with status {done.returncode}:\n{done.stdout}")
                said.append(done.stdout)
        return "".join(said)

    def download_artifact(self, name: str, path: str) -> None:
        """Copy a file that a command left."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.folder / name, target)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._held.cleanup()
