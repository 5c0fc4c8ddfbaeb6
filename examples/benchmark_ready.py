"""What a big archive costs with the ready model: a cold search from the shell, and the service's memory.

    python examples/benchmark_ready.py --items 1_000_000 --sound query.wav --image tile.jpg

Codes are random, items those of ``benchmark_archive.py``; the archive is written into a temporary folder and removed
again. Times are of new processes, their processor time beside: what other work on the machine does not change as much.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import benchmark_archive
from benchmark_serve import served

import dtbh
from dtbh.index.archive import writing


def cold(archive: Path, *query: str) -> None:
    """Print how long ``dtbh search`` takes in a process of its own; the best of three."""
    best = (float("inf"), float("inf"))
    for _ in range(3):
        before, start = os.times(), time.perf_counter()
        command = [sys.executable, "-m", "dtbh.cli", "search", str(archive), *query, "--find", "image", "--quiet"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        took, after = time.perf_counter() - start, os.times()
        used = after.children_user + after.children_system - before.children_user - before.children_system
        best = min(best[0], took), min(best[1], used)
    print(f"cold search {query[0]:8} {best[0]:.2f} s, {best[1]:.2f} s of the processor", flush=True)


def memory() -> str:
    """What the service, a child of this process, holds now, and held at most."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    status = Path(f"/proc/{children[-1]}/status").read_text()
    held, most = (int(re.findall(rf"{name}:\s+(\d+)", status)[0]) / 1000 for name in ("VmRSS", "VmHWM"))
    return f"{held:.0f} MB, at most {most:.0f}"


def ask(port: int, kind: str, file: Path) -> None:
    """Send a file as a query."""
    head = b'--x\r\ncontent-disposition: form-data; name="file"; filename="%s"\r\n\r\n' % file.name.encode()
    body, content = head + file.read_bytes() + b"\r\n--x--\r\n", "multipart/form-data; boundary=x"
    post(port, f"{kind}?k=10&find=image", body, content)


def post(port: int, path: str, body: bytes, content: str) -> None:
    """Ask, and wait for the answer."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/search/{path}", body, {"content-type": content})
    urllib.request.urlopen(request, timeout=300).read()


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--sound", type=Path, help="a query, spoken")
    parser.add_argument("--image", type=Path, help="a query")
    args = parser.parse_args()
    model = dtbh.load()
    benchmark_archive.ENCODER = model.fingerprint
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "archive"
        meta = {"bits": model.bits, "encoder": model.fingerprint, "model": str(model.path)}
        writing.create(path, meta, benchmark_archive.chunks(args.items, path))
        cold(path, "--text", "boats in a harbor")
        if args.sound:
            cold(path, "--sound", str(args.sound))
        with served(path, None) as port:
            print(f"served, at rest      {memory()}", flush=True)
            post(port, "text?k=10", json.dumps({"texts": ["boats in a harbor"]}).encode(), "application/json")
            print(f"after texts          {memory()}", flush=True)
            for kind, file in (("sound", args.sound), ("image", args.image)):
                if file:
                    ask(port, kind, file)
                    print(f"after {kind + 's':14} {memory()}", flush=True)


if __name__ == "__main__":
    main()
