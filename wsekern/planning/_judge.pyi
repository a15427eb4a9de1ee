from wsekern._formulas import Memo, Ways

class RunBytes:
    def __init__(
        self,
        formulas: tuple[Ways, ...],
        blocks: tuple[tuple[int, int, int], ...],
        runs: tuple[tuple[tuple[int, int], ...], ...],
        load: int,
        element: float,
        code: float,
    ) -> None: ...
    def by_use(
        self, width: int, height: int, chunk: int, sequences: tuple[int, int, int]
    ) -> tuple[int, int, int]: ...
    def narrowest(
        self, height: int, chunk: int, sequences: tuple[int, int, int], sram: int, more: int, layers: int, widest: int
    ) -> list[int]: ...

class LayerCycles:
    def __init__(
        self, mixers: Ways, others: Ways, expected: Ways, way: Ways, blocks: tuple[int, int, int], over_all: bool
    ) -> None: ...
    def __call__(self, width: int, height: int, most: int, chunk: int, load: int, tokens: int, slots: int) -> float: ...
    def arriving(self, width: int, height: int, tokens: int) -> float: ...

class Part:
    def __init__(self, bytes: RunBytes, cycles: tuple[LayerCycles, ...], counts: tuple[int, ...]) -> None: ...

class Region:
    count: int
    def __init__(self, parts: tuple[Part, ...], layers: int, known: int, count: int, load: int) -> None: ...

class Load:
    def __init__(
        self,
        *,
        sram: int,
        across: int,
        clock: float,
        hidden: int,
        context: int,
        shared: int,
        batch: int,
        prompt: int,
        unread: int,
        output: int,
        checked: int,
        timed: int,
        think: float,
        along: Memo,
        down: Memo,
    ) -> None: ...

class Regions:
    def __init__(self, shapes: tuple[Region, ...], load: Load) -> None: ...
    def holds(self, width: int, height: int, mixers: int, chunk: int, inside: int) -> bool: ...
    def served(self, width: int, height: int, mixers: int, chunk: int, least: float) -> int: ...
    def seconds(
        self,
        width: int,
        height: int,
        mixers: int,
        chunk: int,
        served: int,
        head: float,
        crossing: float,
        crossing_token: float,
    ) -> float: ...
