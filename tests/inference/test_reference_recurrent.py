"""Recurrent mixers of the plain reference against the modules of transformers, tiny and random."""

import numpy as np
import pytest

from wsekern.errors import InputError
from wsekern.inference.reference.functions import Activations
from wsekern.inference.reference.recurrent import recurrent
from wsekern.workload.decoder import Norm, Recurrent

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

EXACT = Activations()
HIDDEN = 24


def randomize(module) -> None:
    """Weights that tell features, heads and tokens apart."""
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.4)


def array(tensor) -> np.ndarray:
    return tensor.detach().numpy().astype(np.float32)


def check(module, part: Recurrent, weights: dict[str, np.ndarray], call=None) -> None:
    """The same outputs for a sequence at once, and in pieces of several lengths."""
    x = np.random.default_rng(0).standard_normal((11, HIDDEN)).astype(np.float32)
    with torch.no_grad():
        expected = array((call or module)(torch.from_numpy(x)[None]))[0]
    for pieces in ((11,), (1,) * 11, (4, 1, 6)):
        cache, start, found = {}, 0, []
        for size in pieces:
            found.append(recurrent(part, weights, x[start:start + size], cache, EXACT))
            start += size
        np.testing.assert_allclose(np.concatenate(found), expected, rtol=2e-4, atol=2e-5)


def delta_part(**more) -> Recurrent:
    return Recurrent(kind="gated_delta", key_heads=2, key_dim=8, value_heads=4, value_dim=6, kernel=4, convolved=2 * 16 + 24,
                     matrices=((0, 2 * 16 + 2 * 24), (0, 8), (24, 0)), norm=Norm(eps=1e-6), **more)


def test_gated_delta_as_in_qwen3_next():
    from transformers.models.qwen3_next.configuration_qwen3_next import Qwen3NextConfig
    from transformers.models.qwen3_next.modeling_qwen3_next import Qwen3NextGatedDeltaNet

    config = Qwen3NextConfig(hidden_size=HIDDEN, linear_num_key_heads=2, linear_num_value_heads=4, linear_key_head_dim=8,
                             linear_value_head_dim=6, linear_conv_kernel_dim=4, num_hidden_layers=1,
                             layer_types=["linear_attention"])
    module = Qwen3NextGatedDeltaNet(config, 0)
    randomize(module)
    # in_proj_qkvz of a key head: its q and k, then v and z of the value heads that share it
    groups = array(module.in_proj_qkvz.weight).reshape(2, 2 * 8 + 4 * 6, HIDDEN)
    q, k, v, z = np.split(groups, [8, 16, 16 + 12], axis=1)
    b, a = np.split(array(module.in_proj_ba.weight).reshape(2, 4, HIDDEN), 2, axis=1)
    check(module, delta_part(), {
        **{f"in_{name}": rows.reshape(-1, HIDDEN).T for name, rows in dict(q=q, k=k, v=v, z=z, b=b, a=a).items()},
        "conv": array(module.conv1d.weight)[:, 0], "decay": array(module.A_log), "dt_bias": array(module.dt_bias),
        "state_norm": array(module.norm.weight), "o": array(module.out_proj.weight).T})


def test_gated_delta_as_in_qwen3_5():
    from transformers.models.qwen3_5.configuration_qwen3_5 import Qwen3_5TextConfig
    from transformers.models.qwen3_5.modeling_qwen3_5 import Qwen3_5GatedDeltaNet

    config = Qwen3_5TextConfig(hidden_size=HIDDEN, linear_num_key_heads=2, linear_num_value_heads=4, linear_key_head_dim=8,
                               linear_value_head_dim=6, linear_conv_kernel_dim=4, num_hidden_layers=1,
                               layer_types=["linear_attention"])
    module = Qwen3_5GatedDeltaNet(config, 0)
    randomize(module)
    q, k, v = np.split(array(module.in_proj_qkv.weight), [16, 32])
    check(module, delta_part(), {
        "in_q": q.T, "in_k": k.T, "in_v": v.T, "in_z": array(module.in_proj_z.weight).T,
        "in_b": array(module.in_proj_b.weight).T, "in_a": array(module.in_proj_a.weight).T,
        "conv": array(module.conv1d.weight)[:, 0], "decay": array(module.A_log), "dt_bias": array(module.dt_bias),
        "state_norm": array(module.norm.weight), "o": array(module.out_proj.weight).T})


def mamba_weights(module, value_size: int, key_size: int) -> dict[str, np.ndarray]:
    parts = np.split(array(module.in_proj.weight), np.cumsum([value_size, value_size, key_size, key_size]))
    return {**{f"in_{name}": rows.T for name, rows in zip(("z", "x", "B", "C", "dt"), parts, strict=True)},
            "conv": array(module.conv1d.weight)[:, 0], "conv_bias": array(module.conv1d.bias), "decay": array(module.A_log),
            "dt_bias": array(module.dt_bias), "skip": array(module.D), "state_norm": array(module.norm.weight),
            "o": array(module.out_proj.weight).T}


@pytest.mark.parametrize("family", ["bamba", "nemotron_h", "mamba2"])
def test_mamba2(family):
    from importlib import import_module

    import transformers

    modeling = import_module(f"transformers.models.{family}.modeling_{family}")
    sizes = dict(hidden_size=HIDDEN, num_hidden_layers=1)
    if family == "bamba":
        config = transformers.BambaConfig(**sizes, mamba_n_heads=8, mamba_d_head=6, mamba_n_groups=2, mamba_d_state=8,
                                          mamba_d_conv=4, mamba_expand=2)
        module = modeling.BambaMixer(config, 0)
    elif family == "nemotron_h":
        config = transformers.NemotronHConfig(**sizes, mamba_num_heads=8, mamba_head_dim=6, n_groups=2, ssm_state_size=8,
                                              conv_kernel=4, layers_block_type=["mamba"])
        module = modeling.NemotronHMamba2Mixer(config, 0)
    else:
        config = transformers.Mamba2Config(**sizes, num_heads=8, head_dim=6, n_groups=2, state_size=8, conv_kernel=4, expand=2)
        module = modeling.Mamba2Mixer(config, 0)
    randomize(module)
    part = Recurrent(kind="mamba2", key_heads=2, key_dim=8, value_heads=8, value_dim=6, kernel=4, convolved=48 + 32,
                     matrices=((0, 48 + 80 + 8), (48, 0)), norm=Norm(eps=module.norm.variance_epsilon))
    check(module, part, mamba_weights(module, 48, 16))


def test_short_convolution_as_in_lfm2():
    from transformers import Lfm2Config
    from transformers.models.lfm2.modeling_lfm2 import Lfm2ShortConv

    module = Lfm2ShortConv(Lfm2Config(hidden_size=HIDDEN, conv_L_cache=3, conv_bias=True, layer_types=["conv"],
                                      num_hidden_layers=1), 0)
    randomize(module)
    matrices, biases = np.split(array(module.in_proj.weight), 3), np.split(array(module.in_proj.bias), 3)
    names = ("in_B", "in_C", "in_x")
    part = Recurrent(kind="short_convolution", key_heads=0, key_dim=0, value_heads=0, value_dim=0, kernel=3, convolved=HIDDEN,
                     matrices=((0, 3 * HIDDEN), (0, 0)), bias=True)
    check(module, part, {
        **{name: matrix.T for name, matrix in zip(names, matrices, strict=True)},
        **{f"{name}_bias": bias for name, bias in zip(names, biases, strict=True)},
        "conv": array(module.conv.weight)[:, 0], "conv_bias": array(module.conv.bias),
        "o": array(module.out_proj.weight).T, "o_bias": array(module.out_proj.bias)})


def test_what_is_timed_only_is_refused_in_one_sentence():
    part = Recurrent(kind="rwkv", key_heads=1, key_dim=2, value_heads=1, value_dim=2, matrices=())
    with pytest.raises(InputError, match="a rwkv mixer has no values yet, only a time"):
        recurrent(part, {}, np.zeros((1, 4), np.float32), {}, EXACT)
