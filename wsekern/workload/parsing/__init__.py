"""From the keys of a Hugging Face ``config.json`` to a description: class defaults, families, one module for each part."""
