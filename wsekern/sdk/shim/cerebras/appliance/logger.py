"""The appliance's log: Python's."""

import logging

logger = logging.getLogger("cerebras")


def __getattr__(name: str) -> object:
    """Anything else that scripts import from here does nothing."""
    return lambda *arguments, **options: logger
