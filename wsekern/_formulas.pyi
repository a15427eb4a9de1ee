from collections.abc import Callable
from typing import Any

SYMBOLS: dict[str, int]
FURTHER: dict[str, int]
REAL_KIND: int

class Memo:
    function: Callable[..., Any]
    def __init__(self, function: Callable[..., Any], most: int = 0) -> None: ...
    def __len__(self) -> int: ...
    def __call__(self, *numbers: float) -> Any: ...

class Program:
    def __init__(
        self,
        inputs: tuple[bool, ...],
        numbers: int,
        lines: list[tuple[int, int, int, int]],
        constants: dict[int, float],
        calls: tuple[tuple[Memo, bool, tuple[tuple[int, bool], ...]], ...],
        outputs: tuple[tuple[int, bool], ...],
    ) -> None: ...
    def __call__(self, *numbers: float) -> tuple[Any, ...] | bool | None: ...

class Ways:
    ways: list[Program]
    def __call__(self, *numbers: float) -> tuple[Any, ...]: ...
    def plainly(self, *numbers: float) -> tuple[Any, ...]: ...
    def otherwise(self, *numbers: float) -> tuple[Any, ...]: ...
