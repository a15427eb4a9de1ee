"""A real model on the flow engine beside llama.cpp, on the same file, prompt and cores, in one run; by hand:

    npm install --prefix /tmp/llama @fugood/llama.node        (a binary of llama.cpp; nothing here depends on it)
    python bench/peer_llama_cpp.py MODEL.gguf /tmp/llama [--placed MODEL_FOLDER]

    python bench/peers.py --llama /tmp/llama ...          (one layer of Llama-3-8B's shape beside ours, random weights)

Rounds take turns, so that both meet the same load of the machine; medians. ``read_seconds`` is what the weights alone would
take at the rate at which this machine reads memory, measured in the same run: no token can be quicker.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

PROMPT, TOKENS = "The capital of France is", 16
LONG = "Paris is the capital of France, and the river of that city is the Seine. " * 12
SCRIPT = """
const { loadModel } = require(process.argv[1] + '/node_modules/@fugood/llama.node');
(async () => {
  const [model, threads, prompt, count] = process.argv.slice(2);
  const start = Date.now();
  const context = await loadModel({ model, n_ctx: 4608, n_threads: Number(threads), n_gpu_layers: 0 });
  const loaded = (Date.now() - start) / 1000;
  const { timings } = await context.completion({ prompt, n_predict: Number(count), temperature: 0, ignore_eos: true });
  const [prompt_seconds, token_seconds] = [timings.prompt_ms / 1000, timings.predicted_per_token_ms / 1000];
  console.log(JSON.stringify({ start: loaded, prompt: prompt_seconds, token: token_seconds }));
  process.exit(0);
})();
"""
OURS = """
import json, resource, sys, time
begin = time.perf_counter()
from wsekern.inference.execution import place
from wsekern.machine import load_machine
from wsekern.workload.checkpoint import load_checkpoint
import numpy as np
folder, threads, prompt, count = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
imported = time.perf_counter()
checkpoint = load_checkpoint(folder)
ids = checkpoint.encode(prompt)
model = place(checkpoint, load_machine("wse3"), len(ids) + count, threads=threads)
placed = time.perf_counter()
logits, times = model.prefill(ids), []
read = time.perf_counter()
for _ in range(count):
    start = time.perf_counter()
    logits = model.decode(int(logits.argmax()))
    times.append(time.perf_counter() - start)
anonymous = next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("RssAnon"))
memory = np.ones(64_000_000, np.float32)
start = time.perf_counter()
memory.max()
rate = memory.nbytes / (time.perf_counter() - start)
print(json.dumps({"start": placed - imported, "prompt": read - placed, "token": sorted(times)[len(times) // 2],
                  "bytes_per_weight": anonymous / checkpoint.config.parameters, "prompt_tokens": len(ids),
                  "read_seconds": 2 * checkpoint.config.parameters / rate}))
"""


def last_line(command: list[str]) -> dict[str, float]:
    """The JSON that ``command`` ends with."""
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    return json.loads(done.stdout.strip().splitlines()[-1])


HIDDEN, FFN, HEADS, KV_HEADS, VOCAB = 4096, 14336, 32, 8, 660
"""Of a layer of Llama-3-8B, with the few tokens of ``beside.layer``."""
LETTERS = 0x4e00
"""The first of the letters that are tokens."""


def write_layer(path: Path) -> None:
    """One layer with random fp16 weights, and a tokenizer of single letters."""
    from gguf import GGMLQuantizationType, GGUFWriter

    writer, rng = GGUFWriter(path, "llama"), np.random.default_rng(0)
    writer.add_context_length(8192)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(1)
    writer.add_feed_forward_length(FFN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(HIDDEN // HEADS)
    writer.add_rope_freq_base(500000.0)
    writer.add_vocab_size(VOCAB)
    letters = map(chr, range(LETTERS, LETTERS + VOCAB - 259))
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *letters]
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * VOCAB)
    writer.add_token_types([2, 3, 3, *[6] * 256, *[1] * (VOCAB - 259)])
    kv = HIDDEN // HEADS * KV_HEADS
    shapes = {"token_embd": (VOCAB, HIDDEN), "output": (VOCAB, HIDDEN),
              "blk.0.attn_q": (HIDDEN, HIDDEN), "blk.0.attn_k": (kv, HIDDEN), "blk.0.attn_v": (kv, HIDDEN),
              "blk.0.attn_output": (HIDDEN, HIDDEN),
              "blk.0.ffn_gate": (FFN, HIDDEN), "blk.0.ffn_up": (FFN, HIDDEN), "blk.0.ffn_down": (HIDDEN, FFN)}
    for name, shape in shapes.items():
        weights = (rng.standard_normal(shape, np.float32) / np.sqrt(shape[1])).astype(np.float16)
        writer.add_tensor(f"{name}.weight", weights, raw_dtype=GGMLQuantizationType.F16)
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(HIDDEN, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def layer_seconds(llama: str, threads: int, cached: int, tokens: int = 16) -> float:
    """Seconds of llama.cpp for a token of that model behind so many others; its output of a few hundred words counts too."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "layer.gguf"
        write_layer(path)
        prompt = chr(LETTERS) * (cached - 2)
        return last_line(["node", "-e", SCRIPT, "--", llama, str(path), str(threads), prompt, str(tokens)])["token"]


def main() -> None:
    """Print a line for each number of threads."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gguf")
    parser.add_argument("llama", help="folder that has node_modules/@fugood/llama.node")
    parser.add_argument("--placed", help="what wsekern reads, where it is not the same file")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    for name, prompt in (("short", PROMPT), ("long", LONG)):
        for threads in ("1", "2"):
            found: dict[str, list[dict[str, float]]] = {"llama.cpp": [], "wsekern": []}
            for _ in range(given.rounds):
                found["llama.cpp"].append(last_line(["node", "-e", SCRIPT, "--", given.llama, given.gguf, threads, prompt,
                                                     str(TOKENS)]))
                found["wsekern"].append(last_line([sys.executable, "-c", OURS, given.placed or given.gguf, threads, prompt,
                                                   str(TOKENS)]))
                time.sleep(0.2)
            middle = {who: {key: statistics.median(row[key] for row in rows) for key in rows[0]} for who, rows in found.items()}
            ratios = {key: middle["wsekern"][key] / middle["llama.cpp"][key] for key in ("start", "prompt", "token")}
            print(json.dumps({"prompt": name, "threads": threads, **middle, "ratio": ratios}, indent=1), flush=True)


if __name__ == "__main__":
    main()
