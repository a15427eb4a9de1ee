"""Feed-forward parts and mixtures of experts, from the keys of a ``config.json``."""

from typing import Any

from wsekern.workload.decoder import Activation, FeedForward, Mixture
from wsekern.workload.parsing.families import Family
from wsekern.workload.parsing.keys import Keys

_ACTIVATIONS: dict[str, Activation] = {
    "silu": "silu", "swish": "silu", "gelu": "gelu", "gelu_python": "gelu", "gelu_new": "gelu_tanh", "gelu_tanh": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh", "gelu_fast": "gelu_tanh", "quick_gelu": "quick_gelu", "relu": "relu", "relu2": "relu2",
    "xielu": "xielu", "swigluoai": "clamped_silu", "swiglu": "silu", "geglu": "gelu", "situ": "silu"}


def activation(keys: Keys) -> Activation:
    """The function of feed-forward parts."""
    name = (keys.names("hidden_act") or ["silu"])[0]
    if name not in _ACTIVATIONS:
        raise keys.refuse("hidden_act", f"one of {', '.join(_ACTIVATIONS)}")
    return _ACTIVATIONS[name]


def dense_feed(keys: Keys, family: Family, hidden: int, key: str = "intermediate_size",
               gated: bool | None = None) -> FeedForward:
    """A feed-forward part without experts, of the width under ``key``."""
    width = keys.size(key, family.width_factor * hidden or None)
    bias = family.feed_bias == "always" or bool(family.feed_bias and keys.flag(family.feed_bias))
    return FeedForward(width=width, gated=family.gated if gated is None else gated, activation=activation(keys), bias=bias)


def mixture(keys: Keys, family: Family) -> Mixture | None:
    """The mixture of experts, if there is one."""
    experts, router = keys.count("num_experts"), family.router
    if not experts or router is None:
        return None
    width = keys.size("moe_intermediate_size" if keys.has("moe_intermediate_size") else "intermediate_size")
    chosen = keys.size("num_experts_per_tok")
    if chosen > experts:
        raise keys.refuse("num_experts_per_tok", f"at most the {experts} experts of a layer")
    function = activation(keys)
    limit = keys.number("swiglu_limit", 7.0) if keys.has("swiglu_limit") or function == "clamped_silu" else 0.0
    clamped = keys.has("swiglu_alpha")
    kind: dict[str, Any] = {"gated": family.gated, "activation": "clamped_silu" if clamped else function, "limit": limit}
    shared = _shared_width(keys, family, width)
    groups = keys.size("n_group", 1) if router.grouped and keys.names("topk_method") != ["greedy"] else 1
    if experts % groups:
        raise keys.refuse("n_group", f"a divisor of the {experts} experts")
    return Mixture(
        experts=experts, chosen=chosen, expert=FeedForward(width=width, bias=router.expert_bias, **kind),
        shared=FeedForward(width=shared, **kind) if shared else None, shared_gate=bool(shared) and router.shared_gate,
        scores=router.scores, normalized=_normalized(keys, family), nearness=_nearness(keys, family),
        scale=keys.number("routed_scaling_factor", 1.0),
        correction=router.correction and keys.flag("use_expert_bias", True), groups=groups,
        groups_chosen=min(keys.size("topk_group", 1), groups), group_best=router.group_best, router_bias=router.router_bias,
        latent=keys.count("moe_latent_size"), early=router.early)


def needed_mixture(keys: Keys, family: Family) -> Mixture:
    """The mixture of experts of a family whose layers cannot do without."""
    keys.size("num_experts")
    found = mixture(keys, family)
    assert found is not None
    return found


def _normalized(keys: Keys, family: Family) -> bool:
    """Whether the shares of the chosen experts are divided by their sum."""
    assert family.router is not None
    stated = family.router.normalized
    return keys.flag("norm_topk_prob") if stated is None else stated


def _nearness(keys: Keys, family: Family) -> float:
    """Of a sparse mixer: twice what ``router_jitter_noise`` is."""
    assert family.router is not None
    return 2 * keys.number("router_jitter_noise", 0.01) if family.router.scores == "sparse_mixer" else 0.0


def _shared_width(keys: Keys, family: Family, expert: int) -> int:
    """Width of the shared experts together; 0: there are none."""
    assert family.router is not None
    rule = family.router.shared
    if rule == "width":
        return keys.count("shared_expert_intermediate_size")
    if rule == "one":
        return keys.size("intermediate_size") if keys.flag("use_mixed_mlp_moe", True) else 0
    if rule == "same":
        return expert
    return keys.count("n_shared_experts") * (keys.count("shared_expert_intermediate_size") or expert) if rule == "times" else 0


def sparse_layers(keys: Keys, layers: int) -> list[bool]:
    """Which layers have experts: those named or listed so, or by the rule of the family's keys."""
    if names := keys.names("mlp_layer_types"):
        if len(names) < layers or set(names) - {"dense", "sparse", "moe", "hash_moe"}:
            raise keys.refuse("mlp_layer_types", f"dense or sparse for each of {layers} layers")
        return [name != "dense" for name in names[:layers]]
    if isinstance(keys.data.get("moe_layer_freq"), list) and keys.data["moe_layer_freq"]:
        return [bool(flag) for flag in keys.sizes("moe_layer_freq", layers)][:layers]
    listed = set(keys.sizes("moe_layers"))
    if listed:
        return [index in listed for index in range(layers)]
    return [_by_rule(keys, index) for index in range(layers)]


def _by_rule(keys: Keys, index: int) -> bool:
    """Whether layer ``index`` has experts: not the first ones (DeepSeek), each n-th only (Qwen, Llama 4, ERNIE, Jamba)."""
    first = max(keys.count("first_k_dense_replace"), keys.count("num_dense_layers"), keys.count("moe_layer_start_index"))
    last = keys.data.get("moe_layer_end_index")
    if index < first or (isinstance(last, int) and 0 <= last < index) or index in keys.sizes("mlp_only_layers"):
        return False
    if index % keys.size("moe_layer_freq", 1) or index % keys.size("expert_layer_period",
                                                                   1) != keys.count("expert_layer_offset"):
        return False
    steps = ("decoder_sparse_step", "interleave_moe_layer_step", "moe_layer_interval")
    return all((index + 1) % keys.size(step, 1) == 0 for step in steps)
