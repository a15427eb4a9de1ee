"""A small model, and small wafers for it: their placements are found in a fraction of a second."""

import msgspec

from wsekern.machine import Machine, load_machine
from wsekern.workload.config import uniform

WSE3 = load_machine("wse3")
SMALL = uniform(layers=12, hidden=512, heads=8, kv_heads=4, head_dim=64, ffn=1536, vocab=8192, max_context=8192)


def wafer(width: int = 160, height: int = 200, kilobytes: int = 48) -> Machine:
    """A small one."""
    def told(number, value):
        return msgspec.structs.replace(number, value=value)

    fabric, core = WSE3.fabric, WSE3.core
    fabric = msgspec.structs.replace(fabric, user_width=told(fabric.user_width, width),
                                     user_height=told(fabric.user_height, height))
    core = msgspec.structs.replace(core, sram=told(core.sram, 1024 * kilobytes))
    return msgspec.structs.replace(WSE3, fabric=fabric, core=core)
