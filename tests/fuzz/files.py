"""Entrances for files and texts: each makes an input that is nearly right, and reads it."""

import io
import json
import math
import re
import tempfile
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from pathlib import Path
from random import Random
from typing import Any

import gguf
import msgspec
import numpy as np
from safetensors.numpy import save
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing

from tests.fuzz.changes import changed_bytes, changed_data, changed_text, changed_words, in_file, read_or_refused, toml_file
from wsekern.cluster import load_gpu
from wsekern.csl.build import Options, build
from wsekern.csl.parser import parse
from wsekern.csl.source import CslError, Source
from wsekern.inference.sampling import Sampler
from wsekern.machine import load_machine
from wsekern.planning.plan_file import load_plan, plan_text, planned_config
from wsekern.planning.service import Service, Share, plan_service
from wsekern.program import Program
from wsekern.queueing.trace import read_trace
from wsekern.validation import gpu, wafer
from wsekern.workload.checkpoint import load_checkpoint
from wsekern.workload.load import bundled_models, load_config
from wsekern.workload.parsing.parse import parse_config
from wsekern.workload.popularity import parse_expert_law
from wsekern.workload.text.chat import load_template
from wsekern.workload.text.generation import load_settings
from wsekern.workload.text.tokenizers import load_text

# ---- models


@cache
def configs() -> list[dict[str, Any]]:
    """Every bundled config.json, and one of every class that has defaults."""
    found = [json.loads((files("wsekern.workload") / "models" / f"{name}.json").read_text()) for name in bundled_models()]
    defaults = json.loads((files("wsekern.workload.parsing") / "class_defaults.json").read_text())
    return found + [{"model_type": name, **row["keys"]} for name, row in defaults.items()]


def configuration(random: Random) -> Any:
    data = changed_data(random, random.choice(configs()))
    config = read_or_refused(lambda: parse_config(data, "changed", "config.json"))
    assert config is None or min(config.parameters, config.active_parameters, config.kv_elements_per_token) >= 0
    return config


def configuration_text(random: Random) -> Any:
    return in_file(changed_bytes(random, json.dumps(random.choice(configs())).encode()), "config.json", load_config)


TINY = {"model_type": "llama", "vocab_size": 40, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1,
        "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 32, "tie_word_embeddings": True}


@cache
def tiny_weights() -> bytes:
    shapes = {"embed_tokens": (40, 16), "norm": (16,), "layers.0.input_layernorm": (16,),
              "layers.0.post_attention_layernorm": (16,), "layers.0.self_attn.q_proj": (16, 16),
              "layers.0.self_attn.k_proj": (8, 16), "layers.0.self_attn.v_proj": (8, 16), "layers.0.self_attn.o_proj": (16, 16),
              "layers.0.mlp.gate_proj": (24, 16), "layers.0.mlp.up_proj": (24, 16), "layers.0.mlp.down_proj": (16, 24)}
    return save({f"model.{name}.weight": np.ones(shape, np.float16) for name, shape in shapes.items()})


def used(folder: Path) -> Any:
    """A checkpoint, and all the values that it has."""
    checkpoint = load_checkpoint(folder)
    weights = checkpoint.weights
    read_or_refused(lambda: [weights.block(index) for index in range(min(len(weights), 2))])
    read_or_refused(lambda: dict(weights.outer.items()))
    return checkpoint


def model_folder(random: Random, changed: str) -> Any:
    """A folder of a tiny model, one of whose files is changed."""
    contents = {"config.json": json.dumps(TINY).encode(), "tokenizer.json": tokenizer().encode(),
                "model.safetensors": tiny_weights()}
    content = contents[changed]
    if changed == "model.safetensors":
        length = int.from_bytes(content[:8], "little")
        head, body = content[:8 + length], content[8 + length:]
        text = changed_bytes(random, head[8:]) if random.random() < 0.8 else head[8:]
        length = len(text) if random.random() < 0.8 else max(0, len(text) + random.randrange(-9, 9))
        content = length.to_bytes(8, "little") + text + body[:None if random.random() < 0.8 else random.randrange(len(body))]
    elif changed == "config.json":
        content = json.dumps(changed_data(random, TINY)).encode()
    else:
        content = changed_bytes(random, content)
    with tempfile.TemporaryDirectory() as name:
        for file, before in contents.items():
            (Path(name) / file).write_bytes(content if file == changed else before)
        return read_or_refused(lambda: used(Path(name)))


@cache
def tiny_gguf() -> bytes:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "tiny.gguf"
        writer = gguf.GGUFWriter(path, "llama")
        for key, value in {"block_count": 1, "context_length": 64, "embedding_length": 32, "feed_forward_length": 32,
                           "attention.head_count": 2, "attention.head_count_kv": 1}.items():
            writer.add_uint32(f"llama.{key}", value)
        writer.add_float32("llama.attention.layer_norm_rms_epsilon", 1e-5)
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("smollm")
        writer.add_token_list(["<s>", "</s>", *"abcd", "ab", "Ġ"])
        writer.add_token_types([3, 3, 1, 1, 1, 1, 1, 1])
        writer.add_token_merges(["a b"])
        writer.add_bos_token_id(0)
        writer.add_eos_token_id(1)
        shapes = {"attn_q": (32, 32), "attn_k": (16, 32), "attn_v": (16, 32), "attn_output": (32, 32), "ffn_gate": (32, 32),
                  "ffn_up": (32, 32), "ffn_down": (32, 32), "attn_norm": (32,), "ffn_norm": (32,)}
        blocks = {f"blk.0.{name}.weight": shape for name, shape in shapes.items()}
        for name, shape in {**blocks, "token_embd.weight": (8, 32), "output_norm.weight": (32,)}.items():
            kind = gguf.GGMLQuantizationType.Q8_0
            if len(shape) == 2:
                writer.add_tensor(name, gguf.quantize(np.ones(shape, np.float32), kind), raw_dtype=kind)
            else:
                writer.add_tensor(name, np.ones(shape, np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path.read_bytes()


def gguf_file(random: Random) -> Any:
    content = tiny_gguf()
    head = content.index(b"token_embd.weight") + 60      # what follows is numbers, any of which is a number
    return in_file(changed_bytes(random, content[:head], 2, random.random() < 0.8) + content[head:], "tiny.gguf", used)


# ---- text

GENERATION = {"eos_token_id": [1, 2], "do_sample": True, "temperature": 0.6, "top_k": 20, "top_p": 0.9, "min_p": 0.1,
              "repetition_penalty": 1.1, "no_repeat_ngram_size": 2, "bad_words_ids": [[1], [2, 3]], "min_length": 1,
              "min_new_tokens": 1, "suppress_tokens": [3], "begin_suppress_tokens": [4], "num_beams": 1}
SETTINGS = {"tokenizer_class": "Qwen2Tokenizer", "bos_token": "<s>", "eos_token": {"content": "</s>", "lstrip": False},
            "add_bos_token": True, "extra_special_tokens": ["<a>"], "image_token": "<i>", "add_prefix_space": False,
            "added_tokens_decoder": {"0": {"content": "<s>", "special": True}, "258": {"content": "<x>", "rstrip": True}},
            "chat_template": [{"name": "default", "template": "{{ messages[0].content }}"}, {"name": "rag", "template": ""}]}


@cache
def tokenizer() -> str:
    """tokenizer.json of all bytes and two more tokens."""
    vocab = {"<s>": 0, "</s>": 1} | {letter: 2 + i for i, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    made = Tokenizer(models.BPE(vocab, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return made.to_str()


def generation_settings(random: Random) -> Any:
    content = json.dumps(changed_data(random, GENERATION)).encode()
    found = in_file(content, "generation_config.json", lambda path: load_settings(path.parent, 50))
    if found is not None:
        sampler = read_or_refused(lambda: Sampler.of(found))
        assert sampler is None or all(0 <= token < 50 for token in sampler.eos_tokens)
    return found


def tokenizer_settings(random: Random) -> Any:
    """tokenizer_config.json beside tokenizer.json, or beside vocab.json and merges.txt."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "tokenizer_config.json").write_text(json.dumps(changed_data(random, SETTINGS)))
        if random.random() < 0.5:
            (folder / "tokenizer.json").write_text(tokenizer())
        else:
            (folder / "vocab.json").write_text(json.dumps(json.loads(tokenizer())["model"]["vocab"]))
            (folder / "merges.txt").write_text("#version: 0.2\n")
        text = read_or_refused(lambda: load_text(folder, 300))
        if text is not None:
            ids = read_or_refused(lambda: text.encode("a <x>é</s>"))
            assert ids is None or isinstance(text.continuation(ids, ids), str)
            read_or_refused(lambda: load_template(folder, text.special))
        return text


# ---- machines, measurements, loads


@cache
def machines() -> dict[str, bytes]:
    folders = {name: files("wsekern.machine") / "data" for name in ("wse1", "wse2", "wse3")}
    folders |= {name: files("wsekern.cluster") / "data" / "machines" for name in ("h100", "b200")}
    return {name: short((folder / f"{name}.toml").read_text()).encode() for name, folder in folders.items()}


def short(text: str) -> str:
    """A description without its comments and with a letter for each source: what is left is what is checked."""
    return re.sub(r'(source = )"[^"]*"', r'\1"s"', re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))


def machine_file(random: Random, names: tuple[str, ...], load: Callable[[Path], Any]) -> Any:
    """A description of a wafer or chip, changed in its values or in its bytes."""
    content = machines()[random.choice(names)]
    if random.random() < 0.5:
        content = toml_file(changed_data(random, msgspec.toml.decode(content)))
    else:
        content = changed_bytes(random, content)
    return in_file(content, "machine.toml", load)


@cache
def plan_file() -> str:
    plan = plan_service(planned_config("sample"), load_machine("wse3"), Service(256, 1, 2, (Share(100, 50),)), (1,))
    return plan_text("sample", "wse3", plan.chosen)


def answers(path: Path) -> Any:
    """A plan file that is read gives a placement with finite answers, and the file again."""
    plan = load_plan(path)
    assert math.isfinite(plan.offer.speed) and 0 < plan.offer.share < 1
    return plan_text(plan.model, plan.machine, plan.offer)


def plan(random: Random) -> Any:
    content = plan_file().encode()
    if random.random() < 0.5:
        content = toml_file(changed_data(random, msgspec.toml.decode(content)))
    else:
        content = changed_bytes(random, content)
    return in_file(content, "plan.toml", answers)


@cache
def rows(name: str, count: int) -> bytes:
    """Some lines of a table of measurements."""
    content = (files("wsekern.validation") / "data" / name).read_bytes()
    if name.endswith(".gz"):
        import gzip

        content = gzip.decompress(content)
    lines = content.splitlines(keepends=True)
    return b"".join([lines[0], *lines[1::max(1, len(lines) // count)]][:count])


def measurements(random: Random, name: str, read: Callable[[Path], Any]) -> Any:
    return in_file(changed_text(random, rows(name, 12)), "rows.csv", read)


TRACES = {"trace.csv": b"TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.97,374,44\n"
                       b"2023-11-16 18:17:04.03,396,109\n"
                       b"2023-11-16 18:17:05,12,1\n",
          "own.csv": b"arrival,prompt,output\n0.5,10,2\n1.25,3,4\n0,7,1\n",
          "trace.jsonl": b'{"timestamp": 0, "input_length": 6758, "output_length": 500, "hash_ids": [0, 1]}\n'
                         b'{"timestamp": 3000, "input_length": 7322, "output_length": 490}\n'}


def trace(random: Random) -> Any:
    name = random.choice(sorted(TRACES))
    found = in_file(changed_text(random, TRACES[name]), name, read_trace)
    assert found is None or np.isfinite(found.traffic.arrival_seconds).all()
    return found


@cache
def parquet() -> bytes:
    import pyarrow
    import pyarrow.parquet

    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"arrival": [0.5, 1.25], "prompt": [10, 3], "output": [2, 4]}), file)
    return file.getvalue()


def trace_parquet(random: Random) -> Any:
    return in_file(changed_bytes(random, parquet(), whole=True), "trace.parquet", read_trace)


def expert_law(random: Random) -> Any:
    if random.random() < 0.3:
        text = random.choice(("zipf:0.9", "uniform", "zipf:10", "zipf:"))
        text = changed_bytes(random, text.encode(), most=2).decode("utf-8", "replace")
        return read_or_refused(lambda: parse_expert_law(text))
    text = changed_text(random, b"0 5 17\n3, 4, 2\n\n1 2 3\n" * 2)
    return in_file(text, "law.txt", lambda path: parse_expert_law(str(path)))


# ---- programs


@cache
def listings() -> list[str]:
    sums = Program("sum")
    a, b = sums.array("a", "fp32", 8), sums.array("b", "fp32", 8)
    with sums.task("main", active=True) as code:
        code.fadds(a, a, b)
        code.fmovs(a, sums.fabin(1, 8, "fp32"))
    counts = Program("counts")
    x = counts.array("x", "u16", 6)
    with counts.task("go", active=True) as code:
        i = code.let("u16", 3)
        code.mov16(x, i)
        code.timestamp(x)
    return [sums.text(), counts.text()]


LISTING_WORDS = ("fp32", "u16", "bf16", "fadds", "mov16", "fmovs", "-1", "0", "70000", "1.5", "task", "array", "main", "a",
                 "b", "x", "%", "{", "}", "(", ")", ",", "=", ":", "fabin", "fabout", "24", "9" * 30)


def listing(random: Random) -> Any:
    text = random.choice(listings())
    if random.random() < 0.8:
        text = changed_words(random, text, LISTING_WORDS)
    else:
        text = changed_bytes(random, text.encode()).decode("utf-8", "replace")
    return read_or_refused(lambda: Program.parse(text))


LAYOUT = """
param width: i16 = 2;
const memcpy = @import_module("<memcpy/get_params>", .{ .width = width, .height = 1 });
layout {
  @set_rectangle(width, 1);
  for (@range(i16, width)) |x| {
    @set_tile_code(x, 0, "pe.csl", .{ .memcpy_params = memcpy.get_params(x), .x = x });
  }
  @export_name("out", [*]i32, true);
  @export_name("compute", fn()void);
}
"""
PE = """
param memcpy_params: comptime_struct;
param x: i16;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
const Pair = struct { a: i32, b: f32 };
var out = @zeros([8]i32);
var halves = [4]f16 { 1.0, 2.5, -3.0, 0.125 };
var out_ptr: [*]i32 = &out;
const dsd = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{4} -> halves[i] });
const done_id = @get_local_task_id(9);
fn gcd(a: i32, b: i32) i32 {
  var p = a; var q = b;
  while (q != 0) { const r = p % q; p = q; q = r; }
  return if (p > 1) p else 1;
}
task done() void { out[1] += 3 << 2; }
fn compute() void {
  @fmulh(dsd, dsd, 2.0);
  for (@range(i16, 3)) |k| { out[k] = gcd(@as(i32, k) * 6, 4); }
  switch (x) { 0 => out[5] = 1, else => { out[6] = 2; } }
  @activate(done_id);
  sys.unblock_cmd_stream();
}
comptime {
  @bind_local_task(done, done_id);
  @export_symbol(out_ptr, "out");
  @export_symbol(compute);
}
"""


def csl(read: Callable[[], Any]) -> Any:
    """What ``read`` gives; None where it says what is wrong, in a sentence with file and line for every error."""
    try:
        return read()
    except CslError as error:
        assert error.diagnostics and all(each.message.strip() for each in error.diagnostics)
        return None


@cache
def sources() -> list[str]:
    """CSL of the bundled libraries, and of the tests."""
    found = [Path(str(path)) for path in Path(str(files("wsekern.csl") / "lib")).rglob("*.csl")]
    return [LAYOUT, PE, *(path.read_text() for path in sorted(found))]


CSL_WORDS = ("i16", "u32", "f16", "f32", "void", "type", "comptime_struct", "-1", "0", "70000", "1.5", "x", "out", "halves",
             "dsd", "&out", "@get_color(3)", "@zeros([2]i32)", ".{}", "undefined", "null", "(", ")", "{", "}", ";",
             "return", "var", "const", "fn", "comptime", "done_id", "done", "compute", "sys", "@rotate_right", "&", "*",
             "[*]", "|k|", "@as(i16, 1)", "while (x > 0) {}")


def csl_syntax(random: Random) -> Any:
    text = random.choice(sources())
    at = random.randrange(len(text))
    text = text[at:at + 400] if random.random() < 0.5 else text[:4000]
    if random.random() < 0.7:
        text = changed_words(random, text, CSL_WORDS)
    else:
        text = changed_bytes(random, text.encode()).decode("utf-8", "replace")
    return csl(lambda: parse(Source("pe.csl", text)))


def csl_program(random: Random) -> Any:
    """A layout and a program of its PEs, some of whose words are others."""
    texts = [LAYOUT, PE]
    which = random.random() < 0.8
    texts[which] = changed_words(random, texts[which], CSL_WORDS)
    with tempfile.TemporaryDirectory() as name:
        for file, text in zip(("layout.csl", "pe.csl"), texts, strict=True):
            (Path(name) / file).write_text(text, encoding="utf-8", errors="replace")
        return csl(lambda: build(Path(name) / "layout.csl", {}, Options(arch=random.choice(("wse2", "wse3")))))


ENTRANCES: dict[str, Callable[[Random], Any]] = {
    "config.json": configuration,
    "config.json as text": configuration_text,
    "safetensors": lambda random: model_folder(random, "model.safetensors"),
    "model folder": lambda random: model_folder(random, "config.json"),
    "tokenizer.json": lambda random: model_folder(random, "tokenizer.json"),
    "tokenizer_config.json": tokenizer_settings,
    "generation_config.json": generation_settings,
    "GGUF": gguf_file,
    "wafers in TOML": lambda random: machine_file(random, ("wse1", "wse2", "wse3"), load_machine),
    "chips in TOML": lambda random: machine_file(random, ("h100", "b200"), load_gpu),
    "plan files": plan,
    "CSV of GPUs": lambda random: measurements(random, "gpu-measurements.csv.gz", gpu.validate_rows),
    "CSV of wafers": lambda random: measurements(random, "wafer-validation.csv", wafer.validate_rows),
    "traces": trace,
    "traces in Parquet": trace_parquet,
    "expert laws": expert_law,
    "program listings": listing,
    "CSL syntax": csl_syntax,
    "CSL programs": csl_program,
}
"""What reads files and texts, by name: made of a Random, None where the input is refused."""
