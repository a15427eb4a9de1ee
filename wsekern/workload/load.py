"""Where model shapes come from: the bundled ones, a Hugging Face ``config.json``, or a folder that holds one."""

import json
import os
from difflib import get_close_matches
from importlib.resources import files

from wsekern.errors import InputError
from wsekern.workload.config import ModelConfig
from wsekern.workload.gguf_config import gguf_config
from wsekern.workload.installed import locate
from wsekern.workload.json_files import read_json
from wsekern.workload.parsing.parse import parse_config
from wsekern.workload.parsing.stored import from_modelopt
from wsekern.workload.weights.gguf import GgufFile, is_gguf


def bundled_models() -> list[str]:
    """Names of the model shapes shipped with the package."""
    folder = files("wsekern.workload") / "models"
    return sorted(entry.name.removesuffix(".json") for entry in folder.iterdir() if entry.name.endswith(".json"))


def load_config(model: str | os.PathLike[str]) -> ModelConfig:
    """Shape of ``model``: a bundled name, a ``config.json`` or a folder that holds one, or a GGUF file or the name of an
    installed one."""
    if str(model) in bundled_models():
        resource = files("wsekern.workload") / "models" / f"{model}.json"
        return parse_config(json.loads(resource.read_text()), str(model), str(resource))
    path = locate(model)
    if os.path.isdir(path):
        path = path / "config.json"
    if is_gguf(path):
        return gguf_config(GgufFile(path), path.stem)
    if not os.path.exists(path):  # unlike Path's, false for names that no file can have
        near = get_close_matches(str(model), bundled_models())
        raise InputError(f"no model {str(model)!r}: it is neither a folder or file with a Hugging Face config.json nor one of "
                         f"the {len(bundled_models())} that `wsekern machines` lists"
                         + (f"; did you mean {' or '.join(near)}?" if near else ""))
    data = read_json(path)
    name = path.parent.name if path.name == "config.json" else path.stem
    beside = path.with_name(path.name.removesuffix("config.json") + "hf_quant_config.json")
    if isinstance(data, dict) and not data.get("quantization_config") and os.path.isfile(beside):  # as modelopt writes it
        data = {**data, "quantization_config": from_modelopt(read_json(beside))}
    return parse_config(data, name or "model", str(path))
