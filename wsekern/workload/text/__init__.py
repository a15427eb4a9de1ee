"""Text in and out: tokenizers, chat templates, settings of generation, and a short text to measure with."""
