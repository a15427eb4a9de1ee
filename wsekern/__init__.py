"""LLM inference on a simulated wafer-scale engine, down to the wavelet, beside a modelled GPU cluster."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

try:
    from wsekern._common import simd_level
except ModuleNotFoundError as error:
    if error.name != "wsekern._common":
        raise
    raise ImportError(
        f"wsekern is not compiled in {__path__[0]}: this is the source folder. Type `pip install .` there, then run "
        "from another folder (or use plain `pytest`, not `python -m pytest`)."
    ) from None

# Public name -> module that defines it; imported on first use, so that `import wsekern` stays quick.
_LAZY = {
    "WsekernError": "wsekern.errors",
    "load_machine": "wsekern.machine",
    "ModelConfig": "wsekern.workload",
    "load_config": "wsekern.workload",
}

if TYPE_CHECKING:       # a type checker sees what these names are
    from wsekern.errors import WsekernError
    from wsekern.machine import load_machine
    from wsekern.workload import ModelConfig, load_config

    __version__: str

__all__ = ["ModelConfig", "WsekernError", "__version__", "get_include", "load_config", "load_machine", "simd_level"]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    if name == "__version__":
        return _version()
    raise AttributeError(f"module 'wsekern' has no attribute {name!r}")


def _version() -> str:
    """Of the installed package."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("wsekern")
    except PackageNotFoundError:
        return "0+unknown"


def get_include() -> str:
    """Folder of the C headers, for programs that embed the kernels; ``python -m wsekern`` prints it and its like."""
    from pathlib import Path

    from wsekern import _common

    folder = Path(_common.__file__).parent / "include"  # beside what is compiled: an editable install keeps it elsewhere
    if not folder.is_dir():
        raise ImportError("the headers of wsekern are not installed: type `pip install .` in its source folder")
    return str(folder)
