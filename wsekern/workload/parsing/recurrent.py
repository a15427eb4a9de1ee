"""Mixers that keep a state instead of a cache, from the keys of a ``config.json``."""

import math
from collections.abc import Callable

from wsekern.workload.decoder import Norm, Recurrent
from wsekern.workload.parsing.keys import Keys


def recurrent(keys: Keys, kind: str, hidden: int, norm: Norm) -> Recurrent:
    """The mixer of a ``kind`` of :class:`Recurrent`; ``norm``: of the state's output, where it has one."""
    return _KINDS[kind](keys, hidden, norm)


def _gated_delta(keys: Keys, hidden: int, norm: Norm) -> Recurrent:
    """The gated delta rule of Qwen3-Next."""
    key_heads, key = keys.size("linear_num_key_heads"), keys.size("linear_key_head_dim")
    heads, value = keys.size("linear_num_value_heads"), keys.size("linear_value_head_dim")
    convolved = 2 * key_heads * key + heads * value
    return Recurrent(kind="gated_delta", key_heads=key_heads, key_dim=key, value_heads=heads, value_dim=value,
                     matrices=((0, convolved + heads * value), (0, 2 * heads), (heads * value, 0)),
                     kernel=keys.size("linear_conv_kernel_dim", 4), convolved=convolved, norm=Norm(eps=norm.eps))


def _kimi_delta(keys: Keys, hidden: int, norm: Norm) -> Recurrent:
    """The delta rule with a decay for each feature of Kimi Linear; its gates go through a narrow pair of matrices."""
    table = keys.inner("linear_attn_config")
    heads = table.size("num_heads", keys.size("linear_num_heads", 32))
    size = table.size("head_dim", keys.size("linear_head_dim", 128))
    wide = heads * size
    gate = ((0, wide),) if table.flag("use_full_rank_gate") else ((0, size), (size, wide))
    return Recurrent(kind="kimi_delta", key_heads=heads, key_dim=size, value_heads=heads, value_dim=size,
                     matrices=((0, 3 * wide), (0, size), (size, wide), (0, heads), *gate, (wide, 0)),
                     kernel=table.size("short_conv_kernel_size", keys.size("linear_conv_kernel_dim", 4)), convolved=3 * wide,
                     norm=Norm(eps=norm.eps))


def _lightning(keys: Keys, hidden: int, norm: Norm) -> Recurrent:
    """The linear attention of MiniMax-01."""
    heads = keys.size("num_attention_heads")
    size = keys.size("head_dim", hidden // heads or None)
    wide = heads * size
    return Recurrent(kind="lightning", key_heads=heads, key_dim=size, value_heads=heads, value_dim=size,
                     matrices=((0, 3 * wide), (0, wide), (wide, 0)), norm=norm)


def _mamba_2(keys: Keys, hidden: int, norm: Norm) -> Recurrent:
    """Mamba 2: heads of scalar decay. The projection gives gate, input, keys and queries of all groups, and step sizes."""
    heads = keys.size("mamba_heads", 128)
    stated = keys.count("mamba_d_ssm") or keys.size("mamba_expand", 2) * hidden
    size = keys.data.get("mamba_head_size")
    size = keys.size("mamba_head_size") if isinstance(size, int) else max(stated // heads, 1)
    groups, state = keys.size("mamba_groups", 1), keys.size("mamba_state", 128)
    inner, convolved = heads * size, heads * size + 2 * groups * state
    return Recurrent(kind="mamba2", key_heads=groups, key_dim=state, value_heads=heads, value_dim=size,
                     matrices=((0, inner + convolved + heads), (inner, 0)), kernel=keys.size("mamba_kernel",
                                                                                             4), convolved=convolved,
                     norm=Norm(eps=norm.eps) if keys.flag("mamba_rms_norm", True) else None,
                     bias=keys.flag("mamba_proj_bias", keys.flag("use_bias")))


def _mamba(keys: Keys, hidden: int, norm: Norm) -> Recurrent:
    """Mamba: a decay for each feature and state; the step goes through a narrow pair of matrices."""
    inner = keys.size("mamba_expand", 2) * hidden
    rank = keys.data.get("mamba_rank")
    rank = keys.size("mamba_rank") if isinstance(rank, int) else math.ceil(hidden / 16)
    state = keys.size("mamba_state", 16)
    return Recurrent(kind="mamba", key_heads=1, key_dim=state, value_heads=1, value_dim=inner,
                     matrices=((0, 2 * inner), (inner, rank + 2 * state), (rank, inner), (inner, state), (inner, 0)),
                     kernel=keys.size("mamba_kernel", 4), convolved=inner, bias=keys.flag("mamba_proj_bias",
                                                                                          keys.flag("use_bias")))


def _short_convolution(keys: Keys, hidden: int, norm: Norm) -> Recurrent:
    """LFM2: a convolution over a few tokens between two gates, and no other state."""
    return Recurrent(kind="short_convolution", key_heads=1, key_dim=0, value_heads=1, value_dim=hidden,
                     matrices=((0, 3 * hidden), (hidden, 0)), kernel=keys.size("conv_L_cache", 3), convolved=hidden,
                     bias=keys.flag("conv_bias"))


def _rg_lru(keys: Keys, hidden: int, norm: Norm) -> Recurrent:
    """The gated linear unit of RecurrentGemma; its two gates are block-diagonal, a block for each head."""
    width, heads = keys.size("lru_width", hidden), keys.size("num_attention_heads")
    block = max(width // heads, 1)
    return Recurrent(kind="rg_lru", key_heads=heads, key_dim=1, value_heads=heads, value_dim=block,
                     matrices=((0, 2 * width), (width, 0), (width, 2 * block)), kernel=keys.size("mamba_kernel", 4),
                     convolved=width, bias=True)


def _rwkv(keys: Keys, hidden: int, norm: Norm) -> Recurrent:
    """RWKV 4: its state is a numerator, a denominator, a largest exponent and the token before, of each feature."""
    width = keys.size("attention_hidden_size", hidden)
    return Recurrent(kind="rwkv", key_heads=1, key_dim=4, value_heads=1, value_dim=width, matrices=((0, 3 * width), (width, 0)))


_KINDS: dict[str, Callable[[Keys, int, Norm], Recurrent]] = {
    "gated_delta": _gated_delta, "kimi_delta": _kimi_delta, "lightning": _lightning, "mamba2": _mamba_2, "mamba": _mamba,
    "short_convolution": _short_convolution, "rg_lru": _rg_lru, "rwkv": _rwkv}
