"""The bundled sample model: a small Llama trained on public-domain fairy tales (see README.md in this folder)."""

from pathlib import Path

SAMPLE_PROMPT = "The fox said to the wolf,"
"""A prompt the sample model continues well."""


def sample_path() -> Path:
    """Folder of the bundled model, in Hugging Face's layout."""
    return Path(__file__).parent / "fairy-tales"
