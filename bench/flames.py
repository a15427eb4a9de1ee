"""Flame graphs of two builds, one above the other: python bench/flames.py OLD NEW FOLDER [--only WORD] [--seconds 2]

Samples where one thread is while it works at a case of beside.py, by perf's clock (``perf record -e cpu-clock``, which needs no
counters of the processor), and writes FOLDER/flames-CASE.svg: above the old build, below the new one; a frame is as wide as its
share of the samples, and its title says how many percent. Frames of the interpreter are left out, and shares below 0.3 %.
"""

import argparse
import os
import re
import signal
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path
from xml.sax.saxutils import escape

from beside import ask, start

HOT = ("dense rows 512", "mixed colors 512", "scattered words 512", "sparse rows 512", "stencil 128x512",
       "conjugate gradient 64x64", "MeshGEMV 64x64, every wavelet", "cycle engine, decode layer 96x96",
       "flow engine, 8B decode layer", "flow engine, chunk of 64 tokens")
WIDE, HIGH, LEAST = 1000, 16, 0.003
COLORS = ("#f4a582", "#f6b896", "#f8c8a8", "#fbd9bf")
Stack = tuple[str, ...]
FRAME = re.compile(r"^\s+[0-9a-f]+ (.+?)(?:\+0x[0-9a-f]+)? \((.+)\)$")


def sampled(build: Path, case: str, seconds: float) -> Counter[Stack]:
    """Stacks of the compiled code, from the outermost frame in, while a build works at a case."""
    worker = start(build.resolve())
    ask(worker, case, 1)
    with tempfile.TemporaryDirectory() as folder:
        data, control, answer = (f"{folder}/{name}" for name in ("perf.data", "control", "answer"))
        os.mkfifo(control)
        os.mkfifo(answer)
        perf = subprocess.Popen(["perf", "record", "-q", "-e", "cpu-clock", "-F", "997", "--call-graph", "dwarf,4096",
                                 "-D", "-1", f"--control=fifo:{control},{answer}", "-p", str(worker.pid), "-o", data],
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with open(control, "w") as tell, open(answer) as told:
            tell.write("enable\n")
            tell.flush()
            told.readline()                                                # perf samples from now on
            begin = time.perf_counter()
            while time.perf_counter() - begin < seconds:
                ask(worker, case, 1)
        perf.send_signal(signal.SIGINT)
        perf.wait()
        text = subprocess.run(["perf", "script", "-F", "ip,sym,dso", "-i", data], capture_output=True, text=True,
                              errors="replace", check=True).stdout
    worker.stdin.close()
    worker.wait()
    return Counter(stack for block in text.split("\n\n") if (stack := stack_of(block.splitlines())))


def stack_of(lines: list[str]) -> Stack:
    """The frames of a sample from the first compiled one of this package in."""
    frames = [(found[1].split("@")[0], found[2]) for line in reversed(lines) if (found := FRAME.match(line))]
    own = [i for i, (_, file) in enumerate(frames) if "/wsekern/" in file]
    if not own:
        return ()
    names = [name if "/wsekern/" in file else _outside(name, file) for name, file in frames[own[0]:]]
    names = [name for i, name in enumerate(names) if not name.startswith(("__pyx", "[unknown]")) or i == len(names) - 1]
    return tuple(name for i, name in enumerate(names) if i == 0 or name != names[i - 1])


def _outside(name: str, file: str) -> str:
    """A frame of something else: a library's function, or the kernel."""
    if "kernel" in file:
        return "kernel"
    return f"{Path(file).name.split('.')[0]}: {name}" if "libc" in file else Path(file).name.split(".")[0]


def frames_of(stacks: Counter[Stack], depth: int = 0, left: float = 0.0, whole: int = 0) -> list[tuple[int, float, float, str]]:
    """(depth, left end, share, name) of all frames that are wide enough; ends and shares are parts of all samples."""
    whole = whole or sum(stacks.values())
    heads: dict[str, Counter[Stack]] = {}
    for stack, count in stacks.items():
        if stack:
            heads.setdefault(stack[0], Counter())[stack[1:]] += count
    found = []
    for name, below in sorted(heads.items(), key=lambda item: -sum(item[1].values())):
        share = sum(below.values()) / whole
        if share >= LEAST:
            found += [(depth, left, share, name), *frames_of(below, depth + 1, left, whole)]
        left += share
    return found


def panel(title: str, stacks: Counter[Stack], top: int) -> tuple[list[str], int]:
    """A build's flame graph as lines of SVG, and its height."""
    frames = frames_of(stacks)
    deep = 1 + max((depth for depth, *_ in frames), default=0)
    lines = [f'<text x="4" y="{top + 13}" font-weight="bold">{escape(title)}</text>']
    for depth, left, share, name in frames:
        x, y, width = left * WIDE, top + HIGH * (depth + 1) + 4, share * WIDE
        text = name if 6.2 * len(name) < width else name[:max(0, int(width / 6.2) - 1)]
        lines.append(f'<g><title>{escape(name)}, {100 * share:.1f} %</title><rect x="{x:.1f}" y="{y}" width="{width:.1f}" '
                     f'height="{HIGH - 1}" fill="{COLORS[sum(map(ord, name)) % len(COLORS)]}"/>'
                     + (f'<text x="{x + 2:.1f}" y="{y + 11}">{escape(text)}</text>' if len(text) > 2 else "") + "</g>")
    return lines, HIGH * (deep + 1) + 12


def picture(case: str, builds: list[tuple[str, Counter[Stack]]]) -> str:
    """Both builds, one above the other."""
    lines, top = [], 0
    for title, stacks in builds:
        some, height = panel(f"{case}, {title}, {sum(stacks.values())} samples", stacks, top)
        lines, top = lines + some, top + height
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {top}" font-family="monospace" '
                      'font-size="10">', f'<rect width="{WIDE}" height="{top}" fill="white"/>', *lines, "</svg>", ""])


def main() -> None:
    """Writes the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("builds", nargs=2, type=Path, metavar="OLD NEW")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--seconds", type=float, default=2)
    given = parser.parse_args()
    for case in HOT:
        if given.only in case:
            builds = [(title, sampled(build, case, given.seconds))
                      for title, build in zip(("9a58329", "now"), given.builds, strict=True)]
            name = "-".join(re.findall(r"\w+", case)).lower()
            path = given.folder / f"flames-{name}.svg"
            path.write_text(picture(case, builds), encoding="utf-8")
            print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
