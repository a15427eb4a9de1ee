"""What the code of an architecture fixes and its ``config.json`` does not say: one row for each model type of transformers."""

from dataclasses import dataclass, field, replace
from typing import Literal

from wsekern.workload.decoder import Norm


@dataclass(frozen=True, kw_only=True)
class Router:
    """How a mixture of experts chooses.

    ``normalized``: whether shares are divided by their sum, where no ``norm_topk_prob`` says it. ``shared``: where the width of
    shared experts is said. ``grouped``: experts stand in ``n_group`` groups.
    """

    scores: Literal["softmax", "softmax_chosen", "sigmoid", "sqrt_softplus", "sparse_mixer"] = "softmax"
    normalized: bool | None = None
    correction: bool = False
    grouped: bool = False
    group_best: int = 2
    router_bias: bool = False
    expert_bias: bool = False
    shared: Literal["", "width", "times", "one", "same"] = ""
    shared_gate: bool = False
    early: bool = False


@dataclass(frozen=True, kw_only=True)
class Family:
    """A row of the table.

    ``norms``: where they stand; ``parallel`` with one for both parts, ``parallel_two`` with one each. ``biases``: projections
    that always have one; ``biased``: (flag, the projections which it gives one); ``feed_bias``: the flag of the feed-forward
    part, or ``always``. ``head_norm``: of queries and keys, of ``each`` head or the ``whole``, if ``head_norm_key`` is set;
    ``head_norm_apart``: each head has gains of its own. ``alibi``: factor of its slopes, -1 for one over the root of head_dim.

    ``windows``: ``never``; ``always``; ``named`` (in ``layer_types`` only); ``types`` (so, else all but each ``period``-th
    layer, or with -n each n-th from the first); ``late`` (so, else from ``max_window_layers`` on, if ``use_sliding_window``);
    ``flag`` (all, if it is set). ``unrotated``: layers without rotary embedding: those ``listed`` in no_rope_layers, or those
    ``full`` ones beside sliding ones. ``scale``: of scores: a number, a key, or ``/key`` for one over its root. ``positions``:
    rows before the first of a learned table, -1: no table.
    """

    norm: Norm = field(default_factory=Norm)
    norms: Literal["before", "after", "around", "parallel", "parallel_two"] = "before"
    biases: str = ""
    biased: tuple[tuple[str, str], ...] = ()
    feed_bias: str = ""
    gated: bool = True
    width_factor: int = 0  # width of the feed-forward part over hidden, where it is not stated
    head_norm: Literal["", "each", "whole"] = ""
    head_norm_key: str = ""
    head_norm_kind: Norm | None = None  # None: as the others
    head_norm_late: bool = False
    head_norm_apart: bool = False
    value_norm: bool = False
    neighbors: bool = False
    backwards: bool = False
    rotates: bool = True
    alibi: float = 0.0
    windows: Literal["never", "always", "named", "types", "late", "flag"] = "never"
    windows_used: bool = False  # whether they are, where no use_sliding_window says it
    period: int = 1
    period_key: str = ""
    unrotated: Literal["", "listed", "full"] = ""
    scale: float | str = 0.0
    softcap: bool = False
    sinks: bool = False
    gate: bool = False
    positions: int = -1
    embedding_scale: float | str = 1.0  # a number, a key, or "root" of the width
    embedding_norm: bool = False
    logits_scale: str = ""  # a key, "/key" for one over it
    head_bias: bool = False
    recurrent: str = ""  # kind of the layers that are named linear
    delta: bool = False
    router: Router | None = None
    reader: str = ""  # of blocks that are laid out in a way of their own


_BIASED = (("attention_bias", "qkvo"),)
_LAYER = Norm(kind="layer", bias=True, eps=1e-5)
_BARE = Norm(gain=False)
_ONE_MORE = Norm(offset=1.0)
_LLAMA = Family(biased=_BIASED, feed_bias="mlp_bias")
_PLAIN = Family()
_OLD = Family(norm=_LAYER, biases="qkvo", feed_bias="always", gated=False, width_factor=4)
_QWEN = Family(head_norm="each", biased=_BIASED)
_NEXT = replace(_QWEN, norm=_ONE_MORE, gate=True, recurrent="gated_delta")
_GEMMA = Family(norm=_ONE_MORE, biased=_BIASED, embedding_scale="root")
_GEMMA_2 = replace(_GEMMA, norms="around", windows="types", period=2, scale="/query_pre_attn_scalar", softcap=True)
_GRANITE = Family(biased=_BIASED, feed_bias="mlp_bias", scale="attention_multiplier", embedding_scale="embedding_multiplier",
                  logits_scale="/logits_scaling")
_GLM = Family(biased=(("attention_bias", "qkv"),), neighbors=True)
_COHERE = Family(norm=Norm(kind="layer"), norms="parallel", biased=_BIASED, neighbors=True, logits_scale="logit_scale",
                 head_norm="each", head_norm_key="use_qk_norm", head_norm_apart=True)
_ERNIE = Family(biased=(("use_bias", "qkvo"),), feed_bias="use_bias", neighbors=True)
_HUNYUAN = Family(biased=_BIASED, feed_bias="mlp_bias", head_norm="each", head_norm_late=True)
_DEEPSEEK = Family(biased=_BIASED, neighbors=True)
_NOAUX = Router(scores="sigmoid", correction=True, grouped=True, shared="times")  # named so by DeepSeek's topk_method
_CHOSEN = Router(scores="softmax_chosen")
_QWEN_MOE = Router()
_SHARED = Router(shared="width", shared_gate=True)
_CORRECTED = Router(scores="sigmoid", correction=True, normalized=True)

_STEP = Family(norm=_ONE_MORE, biased=_BIASED, head_norm="each", windows="named", reader="step3",
               router=replace(_CORRECTED, shared="width"))

FAMILIES: dict[str, Family] = {
    "llama": _LLAMA, "exaone": _LLAMA, "internlm3": replace(_LLAMA, biased=(("attention_bias", "qkv"),)), "iquestcoder": _LLAMA,
    "diffllama": _LLAMA, "arcee": replace(_LLAMA, gated=False), "apertus": replace(_QWEN,
                                                                                   gated=False), "doge": replace(_LLAMA,
                                                                                                                 head_norm="each"),
    "mistral": replace(_PLAIN, windows="always"), "ministral": replace(_PLAIN, windows="types", period=0),
    "ministral3": replace(_PLAIN, windows="always"), "cwm": replace(_PLAIN, feed_bias="mlp_bias", windows="types", period=-4),
    "seed_oss": Family(biased=(("attention_bias", "qkv"), ("attention_out_bias", "o")), feed_bias="mlp_bias"),
    "smollm3": replace(_LLAMA, unrotated="listed", windows="named"),
    "qwen2": Family(biases="qkv", windows="late"), "mimo": Family(biases="qkv", windows="late"),
    "qwen2_vl_text": Family(biases="qkv", windows="late"), "qwen2_5_vl_text": Family(biases="qkv", windows="late"),
    "qwen3": replace(_QWEN, windows="late"), "qwen3_vl_text": _QWEN,
    "qwen2_moe": Family(biased=(("qkv_bias", "qkv"),), windows="late", router=_SHARED),
    "qwen3_moe": replace(_QWEN, windows="flag", router=_QWEN_MOE), "qwen3_vl_moe_text": replace(_QWEN,
                                                                                                router=replace(_QWEN_MOE,
                                                                                                               normalized=True)),
    "qwen3_next": replace(_NEXT, router=_SHARED), "qwen3_5_text": _NEXT,
    "qwen3_5_moe_text": replace(_NEXT, router=replace(_SHARED, normalized=True)),
    "gpt_oss": Family(biased=_BIASED, windows="types", period=2, sinks=True,
                      router=replace(_CHOSEN, router_bias=True, expert_bias=True)),
    "mixtral": replace(_PLAIN, windows="always", router=replace(_QWEN_MOE, normalized=True)),
    "phimoe": Family(norm=_LAYER, biased=_BIASED, windows="always", router=Router(scores="sparse_mixer")),
    "olmoe": replace(_LLAMA, head_norm="whole", router=_QWEN_MOE),
    "flex_olmo": replace(_LLAMA, norms="after", head_norm="whole", router=_QWEN_MOE),
    "minimax_m2": Family(head_norm="whole", router=_CORRECTED),
    "minimax_m3_vl_text": Family(norm=_ONE_MORE, head_norm="each", windows="named", reader="minimax_m3",
                                 router=replace(_CORRECTED, shared="width")),
    "deepseek_v2": replace(_DEEPSEEK, router=Router(grouped=True, group_best=1, shared="times", normalized=False)),
    "deepseek_v3": replace(_DEEPSEEK, router=_NOAUX), "deepseek_v32": replace(_DEEPSEEK, router=_NOAUX),
    "glm4_moe_lite": replace(_DEEPSEEK, router=_NOAUX), "glm_moe_dsa": replace(_DEEPSEEK, router=_NOAUX),
    "mistral4": replace(_DEEPSEEK, router=replace(_NOAUX, scores="softmax", correction=False)), "youtu": _DEEPSEEK,
    "sarvam_mla": replace(_DEEPSEEK, router=_NOAUX),
    "minicpm3": Family(biased=_BIASED, embedding_scale="scale_emb", reader="minicpm3"),
    "longcat_flash": replace(_DEEPSEEK, reader="longcat", router=Router(normalized=False, correction=True)),
    "kimi_linear": Family(rotates=False, recurrent="kimi_delta", router=_NOAUX),
    "kimi_k3": Family(rotates=False, recurrent="kimi_delta", router=_NOAUX, reader="kimi_k3"),
    "deepseek_v4": Family(neighbors=True, sinks=True, reader="deepseek_v4",
                          router=Router(scores="sqrt_softplus", correction=True, normalized=True, shared="times")),
    "glm": _GLM, "glm4": replace(_GLM, norms="around"), "glm4v_text": replace(_GLM, norms="around", biases="qkv"),
    "glm4_moe": replace(_GLM, neighbors=False, head_norm="each", head_norm_key="use_qk_norm", router=_NOAUX),
    "glm4v_moe_text": replace(_GLM, neighbors=False, router=_NOAUX),
    "sarvam_moe": replace(_GLM, neighbors=False, head_norm="each", head_norm_key="use_qk_norm", router=_NOAUX),
    "solar_open": replace(_GLM, neighbors=False, router=_NOAUX),
    "dots1": replace(_QWEN, windows="late", windows_used=True, router=_NOAUX),
    "hy_v3": replace(_LLAMA, head_norm="each", router=replace(_CORRECTED, shared="times")),
    "mimo_v2_flash": Family(biased=(("attention_bias", "qkv"),), windows="named", reader="mimo_v2",
                            router=replace(_NOAUX, shared="")),
    "step3p5": _STEP, "step3p7_text": _STEP,
    "gemma": _GEMMA, "gemma2": _GEMMA_2, "vaultgemma": replace(_GEMMA_2, norms="before"),
    "gemma3_text": replace(_GEMMA_2, head_norm="each", period=6, period_key="sliding_window_pattern"),
    "gemma3n_text": Family(biased=_BIASED, norms="around", embedding_scale="root", windows="types", period=5, scale=1.0,
                           head_norm="each", value_norm=True, reader="gemma3n"),
    "gemma4_text": Family(biased=_BIASED, norms="around", embedding_scale="root", windows="types", period=6, scale=1.0,
                          head_norm="each", value_norm=True, reader="gemma4", router=Router(normalized=True)),
    "recurrent_gemma": replace(_GEMMA, biased=(("attention_bias", "qkv"),), biases="o", feed_bias="always", windows="always",
                               recurrent="rg_lru", reader="recurrent_gemma"),
    "llama4_text": Family(biased=_BIASED, neighbors=True, head_norm="each", head_norm_key="use_qk_norm", head_norm_kind=_BARE,
                          head_norm_late=True, unrotated="listed", windows="named", reader="llama4",
                          router=Router(scores="sigmoid", normalized=False, shared="same", early=True)),
    "granite": _GRANITE, "granitemoe": replace(_GRANITE, router=_CHOSEN),
    "granite_swa": replace(_GRANITE, windows="types", period=-4),
    "granitemoeshared": replace(_GRANITE, router=replace(_CHOSEN, shared="width")),
    "granitemoehybrid": replace(_GRANITE, recurrent="mamba2", router=replace(_CHOSEN, shared="width")),
    "hyperclovax": replace(_GRANITE, logits_scale="logits_scaling", reader="hyperclovax"),
    "cohere": _COHERE, "cohere2": replace(_COHERE, head_norm="", windows="types", period=4, period_key="sliding_window_pattern",
                                          unrotated="full"),
    "ernie4_5": _ERNIE, "ernie4_5_moe": replace(_ERNIE, router=Router(correction=True, normalized=True, shared="times")),
    "hunyuan_v1_dense": _HUNYUAN,
    "hunyuan_v1_moe": replace(_HUNYUAN, router=Router(normalized=True, shared="one")),
    "exaone4": Family(norms="after", head_norm="each", windows="types", period_key="sliding_window_pattern", unrotated="full"),
    "exaone_moe": Family(head_norm="each", windows="types", period_key="sliding_window_pattern", unrotated="full",
                         router=_NOAUX),
    "afmoe": Family(biased=_BIASED, norms="around", head_norm="each", gate=True, windows="types",
                    period_key="global_attn_every_n_layers", unrotated="full", reader="afmoe",
                    router=replace(_CORRECTED, shared="times")),
    "laguna": Family(biased=_BIASED, head_norm="each", windows="types", period=1, reader="laguna",
                     router=replace(_CORRECTED, shared="width")),
    "olmo": replace(_LLAMA, norm=Norm(kind="layer", gain=False, eps=1e-5)),
    "olmo2": replace(_LLAMA, norms="after", head_norm="whole"),
    "olmo3": replace(_LLAMA, norms="after", head_norm="whole", windows="types", period=4),
    "olmo_hybrid": replace(_LLAMA, norms="after", head_norm="whole", recurrent="gated_delta", reader="olmo_hybrid"),
    "phi": Family(norm=_LAYER, norms="parallel", biases="qkvo", feed_bias="always", gated=False, head_bias=True, width_factor=4,
                  head_norm="each", head_norm_key="qk_layernorm"),
    "phi3": replace(_PLAIN, windows="always"), "phi4_multimodal": replace(_PLAIN, windows="always"),
    "stablelm": Family(norm=_LAYER, biased=(("use_qkv_bias", "qkv"),), head_norm="each", head_norm_key="qk_layernorm",
                       head_norm_kind=Norm(kind="layer"), head_norm_apart=True, reader="parallel_key"),
    "starcoder2": Family(norm=_LAYER, biased=(("use_bias", "qkvo"),), feed_bias="use_bias", gated=False, windows="always"),
    "gpt_neox": replace(_OLD, biases="", biased=_BIASED, norms="parallel_two", reader="parallel_key"),
    "gptj": replace(_OLD, biases="", norms="parallel", neighbors=True, head_bias=True),
    "codegen": replace(_OLD, biases="", norms="parallel", neighbors=True, head_bias=True),
    "gpt2": replace(_OLD, rotates=False, positions=0, reader="gpt2"), "gpt_bigcode": replace(_OLD, rotates=False, positions=0),
    "gpt_neo": replace(_OLD, biases="o", rotates=False, positions=0, scale=1.0, reader="gpt_neo"),
    "bloom": replace(_OLD, rotates=False, alibi=1.0, embedding_norm=True),
    "opt": replace(_OLD, biases="", biased=(("enable_bias", "qkvo"),), feed_bias="enable_bias", rotates=False, positions=2),
    "xglm": replace(_OLD, rotates=False, embedding_scale="root"),
    "mpt": Family(norm=Norm(kind="layer", eps=1e-5), gated=False, width_factor=4, rotates=False, alibi=1.0, reader="mpt"),
    "falcon": Family(norm=_LAYER, biased=(("bias", "qkvo"),), feed_bias="bias", gated=False, width_factor=4, reader="falcon"),
    "persimmon": replace(_OLD, head_norm="each", head_norm_key="qk_layernorm"),
    "nemotron": Family(norm=replace(_LAYER, offset=1.0), biased=_BIASED, feed_bias="mlp_bias", gated=False),
    "jais2": Family(norm=_LAYER, biased=_BIASED, feed_bias="mlp_bias", gated=False),
    "helium": Family(biased=(("attention_bias", "qkv"),), feed_bias="mlp_bias", neighbors=True),
    "bitnet": Family(biased=_BIASED),
    "nanochat": Family(norm=_BARE, biased=_BIASED, gated=False, head_norm="each", head_norm_late=True, backwards=True,
                       embedding_norm=True),
    "jetmoe": Family(router=_CHOSEN, reader="jetmoe"),
    "dbrx": Family(norm=Norm(kind="layer", eps=1e-5), router=Router(normalized=True), reader="dbrx"),
    "nemotron-nas": replace(_LLAMA, reader="nemotron_nas"),
    "nemotron_h": Family(biased=_BIASED, gated=False, rotates=False, recurrent="mamba2", reader="nemotron_h", router=_NOAUX),
    "bamba": replace(_LLAMA, recurrent="mamba2"), "falcon_h1": replace(_LLAMA, recurrent="mamba2", reader="falcon_h1"),
    "jamba": Family(rotates=False, recurrent="mamba", router=replace(_QWEN_MOE, normalized=False)),
    "mamba": Family(recurrent="mamba", reader="states_only"), "falcon_mamba": Family(recurrent="mamba", reader="states_only"),
    "mamba2": Family(recurrent="mamba2", reader="states_only"),
    "zamba2": Family(width_factor=4, rotates=False, recurrent="mamba2", reader="zamba2"),
    "lfm2": Family(head_norm="each", recurrent="short_convolution", reader="lfm2"),
    "lfm2_moe": Family(head_norm="each", recurrent="short_convolution", router=Router(scores="sigmoid", correction=True)),
    "minimax": Family(recurrent="lightning", windows="always", router=replace(_QWEN_MOE, normalized=True)),
    "rwkv": Family(norm=_LAYER, recurrent="rwkv", reader="rwkv"),
}
"""Model type -> its row. Configurations of the model type itself fill the numbers (class_defaults.json)."""
