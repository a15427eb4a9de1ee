"""Quantised safetensors: values as the formats define them, element by element, and as the libraries decode them."""

import json

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from wsekern.errors import InputError
from wsekern.workload.weights.quantized import open_folder

E4M3 = ml_dtypes.float8_e4m3fn
E2M1 = [0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6]


@pytest.fixture
def random():
    return np.random.default_rng(0)


def opened(folder, tensors, **settings):
    save_file({name: np.ascontiguousarray(values) for name, values in tensors.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"quantization_config": settings} if settings else {}))
    return open_folder(folder)


def only(folder, tensors, name="x.weight", **settings):
    """Values of the one weight that ``tensors`` are."""
    source = opened(folder, tensors, **settings)
    assert set(source.tensors) == {name}
    source.check(name)
    found = source.read(name)
    assert found.dtype == np.float32 and source.tensors[name].shape == found.shape
    np.testing.assert_array_equal(source.rows(name, [0]), found[[0]])
    return found


def fp8(random, *shape):
    return random.standard_normal(shape).astype(E4M3)


@pytest.mark.parametrize("rows", [256, 300, 72])
@pytest.mark.parametrize("scale_type", [np.float32, ml_dtypes.bfloat16])
def test_fp8_by_blocks(tmp_path, random, rows, scale_type):
    values, columns = fp8(random, rows, 200), 200
    scale = random.random((-(-rows // 128), 2)).astype(scale_type)
    expected = values.astype(np.float32) * np.kron(scale.astype(np.float32), np.ones((128, 128)))[:rows, :columns]
    found = only(tmp_path, {"x.weight": values, "x.weight_scale_inv": scale, "x.input_scale": np.ones(1, np.float32)},
                 quant_method="fp8", weight_block_size=[128, 128])
    np.testing.assert_array_equal(found, expected.astype(np.float32))


@pytest.mark.parametrize("shape", [(), (1,), (48,), (48, 1), (48, 4), (1, 1)])
def test_fp8_and_integers_by_tensor_row_and_group(tmp_path, random, shape):
    scale = random.random(shape, np.float32) if shape else np.float32(0.3).reshape(())
    whole = scale.reshape(-1, 1) if scale.ndim < 2 else scale
    whole = np.repeat(whole, 64 // whole.shape[1], axis=1)
    for values in (fp8(random, 48, 64), random.integers(-128, 128, (48, 64)).astype(np.int8)):
        found = only(tmp_path, {"x.weight": values, "x.weight_scale": scale}, quant_method="compressed-tensors")
        np.testing.assert_array_equal(found, values.astype(np.float32) * whole)


def test_integers_with_zeros_and_int8_of_bitsandbytes(tmp_path, random):
    values = random.integers(-128, 128, (48, 64)).astype(np.int8)
    scale, zeros = random.random((48, 1), np.float32), random.integers(-9, 9, (48, 1)).astype(np.int8)
    found = only(tmp_path, {"x.weight": values, "x.weight_scale": scale, "x.weight_zero_point": zeros})
    np.testing.assert_array_equal(found, (values.astype(np.float32) - zeros) * scale)
    found = only(tmp_path, {"x.weight": values, "x.SCB": scale[:, 0], "x.weight_format": np.zeros(1, np.uint8)})
    np.testing.assert_allclose(found, values * scale / 127, rtol=1e-6)


def test_fp8_of_all_experts_at_once(tmp_path, random):
    values, scale = fp8(random, 3, 256, 130), random.random((3, 2, 2), np.float32)
    found = only(tmp_path, {"mlp.experts.gate_up_proj": values, "mlp.experts.gate_up_proj_scale_inv": scale},
                 "mlp.experts.gate_up_proj")
    for expert in range(3):
        whole = np.kron(scale[expert], np.ones((128, 128), np.float32))[:, :130]
        np.testing.assert_array_equal(found[expert], values[expert].astype(np.float32) * whole)


def packed(numbers, bits):
    """Numbers of a row in words of 32 bits, the first lowest."""
    words = np.zeros((numbers.shape[0], -(-numbers.shape[1] * bits // 32)), np.uint32)
    for column in range(numbers.shape[1]):
        word, place = divmod(column * bits, 32)
        words[:, word] |= numbers[:, column].astype(np.uint32) << np.uint32(place)
    return words.view(np.int32)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("order", [False, True])
def test_packed_integers(tmp_path, random, bits, zeros, order):
    rows, columns, groups = 24, 64, 4
    numbers = random.integers(0, 2**bits, (rows, columns))
    zero = random.integers(0, 2**bits, (rows, groups)) if zeros else np.full((rows, groups), 2 ** (bits - 1))
    scale = random.random((rows, groups), np.float32)
    of = random.permutation(np.arange(columns) % groups) if order else np.arange(columns) // 16
    tensors = {"x.weight_packed": packed(numbers, bits), "x.weight_scale": scale, "x.weight_shape": np.array([rows, columns])}
    if zeros:
        tensors["x.weight_zero_point"] = packed(zero.T, bits).T
    if order:
        tensors["x.weight_g_idx"] = of.astype(np.int32)
    found = only(tmp_path, tensors, quant_method="compressed-tensors")
    np.testing.assert_array_equal(found, (numbers - zero[:, of]).astype(np.float32) * scale[:, of])


def test_packed_integers_as_compressed_tensors(tmp_path, random):
    pytest.importorskip("compressed_tensors")
    torch = pytest.importorskip("torch")
    from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32

    numbers = torch.from_numpy(random.integers(-8, 8, (24, 64)).astype(np.int8))
    scale = random.random((24, 4), np.float32)
    found = only(tmp_path, {"x.weight_packed": pack_to_int32(numbers, 4).numpy(), "x.weight_scale": scale,
                            "x.weight_shape": np.array([24, 64])})
    np.testing.assert_array_equal(found, numbers.numpy() * np.repeat(scale, 16, axis=1))


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize(("version", "added"), [("gptq", 1), ("gptq_v2", 0)])
@pytest.mark.parametrize("order", [False, True])
def test_gptq(tmp_path, random, bits, version, added, order):
    inputs, outputs, groups = 192, 32, 6
    numbers, zeros = random.integers(0, 2**bits, (inputs, outputs)), random.integers(0, 2**bits, (groups, outputs))
    scale = random.random((groups, outputs)).astype(np.float16)
    of = random.permutation(np.arange(inputs) % groups) if order else np.arange(inputs) // 32
    tensors = {"x.qweight": packed(numbers.T, bits).T, "x.qzeros": packed(zeros, bits), "x.scales": scale}
    if order:
        tensors["x.g_idx"] = of.astype(np.int32)
    found = only(tmp_path, tensors, quant_method="gptq", bits=bits, checkpoint_format=version)
    np.testing.assert_array_equal(found.T, (numbers - zeros[of] - added) * scale.astype(np.float32)[of])


def test_awq(tmp_path, random):
    inputs, outputs, groups = 128, 32, 4
    numbers, zeros = random.integers(0, 16, (inputs, outputs)), random.integers(0, 16, (groups, outputs))
    scale = random.random((groups, outputs)).astype(np.float16)

    def ordered(values):  # of every eight columns, the even ones first
        return packed(values.reshape(len(values), -1, 8)[..., [0, 2, 4, 6, 1, 3, 5, 7]].reshape(len(values), -1), 4)

    found = only(tmp_path, {"x.qweight": ordered(numbers), "x.qzeros": ordered(zeros), "x.scales": scale}, quant_method="awq",
                 bits=4, version="gemm")
    of = np.arange(inputs) // 32
    np.testing.assert_array_equal(found.T, (numbers - zeros[of]) * scale.astype(np.float32)[of])


def test_a_last_group_may_be_smaller(tmp_path, random):
    scale = random.random((2, 8), np.float32)
    tensors = {"x.qweight": np.zeros((6, 8), np.int32), "x.qzeros": np.zeros((2, 1), np.int32), "x.scales": scale}
    found = only(tmp_path, tensors, quant_method="gptq", bits=4, group_size=32)
    np.testing.assert_array_equal(found.T, -scale[[0] * 32 + [1] * 16])


def test_mxfp4_as_gpt_oss_stores_it(tmp_path, random):
    blocks = random.integers(0, 256, (2, 6, 3, 16)).astype(np.uint8)
    scale = random.integers(110, 140, (2, 6, 3)).astype(np.uint8)
    found = only(tmp_path, {"experts.down_proj_blocks": blocks, "experts.down_proj_scales": scale}, "experts.down_proj")
    assert found.shape == (2, 96, 6)
    assert found[1, 32 + 5, 4] == E2M1[blocks[1, 4, 1, 2] >> 4] * 2.0 ** (int(scale[1, 4, 1]) - 127)
    assert found[0, 4, 3] == E2M1[blocks[0, 3, 0, 2] & 15] * 2.0 ** (int(scale[0, 3, 0]) - 127)
    torch = pytest.importorskip("torch")
    mxfp4 = pytest.importorskip("transformers.integrations.mxfp4")
    expected = mxfp4.convert_moe_packed_tensors(torch.from_numpy(blocks), torch.from_numpy(scale), dtype=torch.float32)
    np.testing.assert_array_equal(found, expected.numpy())


@pytest.mark.parametrize("library", ["modelopt", "compressed-tensors"])
def test_nvfp4(tmp_path, random, library):
    values, scale = random.integers(0, 256, (6, 32)).astype(np.uint8), np.abs(fp8(random, 6, 4))
    tensors = {"x.weight_scale": scale}
    if library == "modelopt":
        overall = np.float32(0.0123)
        tensors |= {"x.weight": values, "x.weight_scale_2": overall.reshape(()), "x.input_scale": overall.reshape(())}
    else:
        overall = np.float32(1) / np.float32(81.3)
        tensors |= {"x.weight_packed": values, "x.weight_global_scale": np.array([81.3], np.float32)}
    found = only(tmp_path, tensors, quant_method=library)
    numbers = np.array(E2M1, np.float32)[np.stack([values & 15, values >> 4], axis=-1).reshape(6, 64)]
    np.testing.assert_array_equal(found, numbers * np.repeat(scale.astype(np.float32) * overall, 16, axis=1))


@pytest.mark.parametrize("nested", [False, True])
def test_four_bits_of_bitsandbytes(tmp_path, random, nested):
    table = np.sort(random.uniform(-1, 1, 16)).astype(np.float32)
    values, blocks = random.integers(0, 256, (32 * 96 // 2, 1)).astype(np.uint8), 48
    state = {"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": [32, 96]}
    tensors = {"x.weight": values, "x.weight.quant_map": table}
    if nested:
        levels, outer = random.random(256, np.float32), random.random(3, np.float32)
        small = random.integers(0, 256, blocks).astype(np.uint8)
        largest = levels[small] * np.repeat(outer, 16) + np.float32(0.25)
        state |= {"nested_blocksize": 16, "nested_dtype": "float32", "nested_offset": 0.25}
        tensors |= {"x.weight.absmax": small, "x.weight.nested_absmax": outer, "x.weight.nested_quant_map": levels}
    else:
        largest = random.random(blocks, np.float32)
        tensors["x.weight.absmax"] = largest
    tensors["x.weight.quant_state.bitsandbytes__nf4"] = np.frombuffer(json.dumps(state).encode(), np.uint8)
    found = only(tmp_path, tensors, quant_method="bitsandbytes", load_in_4bit=True)
    numbers = np.stack([values >> 4, values & 15], axis=-1).reshape(-1)  # the higher half first
    np.testing.assert_array_equal(found, (table[numbers] * np.repeat(largest, 64)).reshape(32, 96))


@pytest.mark.parametrize("kind", ["nf4", "fp4"])
@pytest.mark.parametrize("nested", [False, True])
def test_four_bits_as_bitsandbytes_decodes_them(tmp_path, kind, nested):
    torch = pytest.importorskip("torch")
    functional = pytest.importorskip("bitsandbytes.functional")
    stored, state = functional.quantize_4bit(torch.randn(16, 512, generator=torch.Generator().manual_seed(0)), blocksize=64,
                                             compress_statistics=nested, quant_type=kind)
    tensors = {f"x.weight.{name}": values.numpy() for name, values in state.as_dict(packed=True).items()}
    found = only(tmp_path, {"x.weight": stored.numpy(), **tensors}, quant_method="bitsandbytes")
    np.testing.assert_allclose(found, functional.dequantize_4bit(stored, state).numpy(), rtol=2e-7, atol=1e-9)


def test_plain_tensors_beside_stay(tmp_path, random):
    plain = random.random((4, 4), np.float32)
    source = opened(tmp_path, {"norm.weight": plain, "x.weight": fp8(random, 4, 4), "y.weight": np.ones((2, 2), np.int8)})
    np.testing.assert_array_equal(source.read("norm.weight"), plain)
    assert np.isfinite(source.read("x.weight")).all()  # fp8 without scales is what it says
    with pytest.raises(InputError, match=r"y\.weight is stored as I8"):
        source.check("y.weight")


BAD = {
    "scale missing": ({"x.qweight": (8, 8)}, "x.scales is missing"),
    "scale of another shape": ({"x.qweight": (8, 8), "x.scales": (2, 9), "x.qzeros": (2, 1)}, "does not fit"),
    "groups beyond the last": ({"x.qweight": (8, 8), "x.scales": (2, 8), "x.qzeros": (2, 1), "x.g_idx": (64,)}, "does not fit"),
    "no groups": ({"x.qweight": (8, 8), "x.scales": (0, 8), "x.qzeros": (0, 1)}, "does not fit"),
    "shape too long": ({"x.weight_packed": (8, 8), "x.weight_scale": (8, 2), "x.weight_shape": (3,)}, "does not fit"),
    "blocks without scales": ({"x_blocks": (1, 2, 3, 16)}, "x_scales is missing"),
    "absmax without state": ({"x.weight": (8, 1), "x.weight.absmax": (1,)}, "quant_state"),
}


@pytest.mark.parametrize("case", BAD)
def test_parts_that_do_not_fit_are_told(tmp_path, case):
    shapes, words = BAD[case]
    kinds = {"qweight": np.int32, "qzeros": np.int32, "g_idx": np.int32, "weight_packed": np.int32, "weight_shape": np.int64,
             "weight": np.uint8, "x_blocks": np.uint8}
    tensors = {name: np.full(shape, 3, kinds.get(name.split(".")[-1], np.float32)) for name, shape in shapes.items()}
    with pytest.raises(InputError, match=words):
        opened(tmp_path, tensors, quant_method="gptq", bits=4)


def test_methods_that_are_not_read_are_told(tmp_path):
    with pytest.raises(InputError, match="quantised by aqlm are not read"):
        opened(tmp_path, {"x": np.ones(1, np.float32)}, quant_method="aqlm")
