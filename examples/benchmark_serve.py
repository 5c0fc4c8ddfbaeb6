"""How many queries ``dtbh serve`` answers on loopback, and how long each takes, with 1, 8 and 64 clients at once.

    python examples/benchmark_serve.py archives/ucm

Every client keeps one connection and sends its next query when the last is answered. The queries are items of the
archive itself. Each load runs twice, in turns: with micro-batches, and with one query at a time (``batch=1``), so
that the gain is a ratio of one run. ``added`` is what an answer takes beyond the encoder's own time for its batch.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

KINDS = ("sound", "image", "code")


@contextmanager
def served(archive: Path, model: Path | None, *settings: str) -> Iterator[int]:
    """``dtbh serve`` on a free port, once its model is loaded; gives the port."""
    command = [sys.executable, "-m", "dtbh.cli", "serve", str(archive), "--port", "0"]
    command += [f"--model={model}"] if model else []
    command += [f"--set={setting}" for setting in settings]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = process.stderr.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)", said)
        if found is None:
            raise SystemExit(said)
        try:
            while (state := json.loads(get(int(found[1]), "/healthz"))["models"]) != "ready":
                if state == "failed":
                    raise SystemExit(get(int(found[1]), "/v1/archives").decode())
                time.sleep(0.1)
            yield int(found[1])
        finally:
            process.terminate()


def get(port: int, path: str) -> bytes:
    """What a GET gives."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as reply:
        content: bytes = reply.read()
    return content


def requests(port: int, kind: str) -> list[bytes]:
    """Some queries of a kind, each a whole request: items of the archive."""
    modality = "image" if kind == "code" else kind
    items = json.loads(get(port, f"/v1/items?modality={modality}&count=16"))["items"]
    made = []
    for item in items:
        if kind == "code":
            body, content = json.dumps({"codes": [item["code"]]}).encode(), "application/json"
        else:
            media = get(port, f"/v1/items/{urllib.request.quote(item['id'], safe='')}/media")
            head = b'--x\r\ncontent-disposition: form-data; name="file"; filename="query"\r\n\r\n'
            body, content = head + media + b"\r\n--x--\r\n", "multipart/form-data; boundary=x"
        top = f"POST /v1/search/{kind} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {content}\r\n"
        top += f"content-length: {len(body)}\r\n\r\n"
        made.append(top.encode() + body)
    return made


async def load(port: int, queries: Sequence[bytes], clients: int, seconds: float) -> np.ndarray:
    """Seconds of every answer that ``clients`` get in about ``seconds``."""
    end, times = time.perf_counter() + seconds, []

    async def client(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (started := time.perf_counter()) < end:
            writer.write(queries[number % len(queries)])
            number += 1
            head = await reader.readuntil(b"\r\n\r\n")
            size = re.search(rb"content-length: (\d+)", head)
            assert size is not None, head
            assert head.startswith(b"HTTP/1.1 200"), head
            await reader.readexactly(int(size[1]))
            times.append(time.perf_counter() - started)
        writer.close()

    await asyncio.gather(*(client(number) for number in range(clients)))
    return np.array(times)


def lane(port: int, name: str) -> tuple[float, float, float]:
    """Batches, queries in them, and seconds that a lane has worked so far."""
    text = get(port, "/metrics").decode()

    def value(of: str) -> float:
        found = re.search(rf'^{of}{{lane="{name}"}} (\S+)$', text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    return value("dtbh_batch_queries_count"), value("dtbh_batch_queries_sum"), value("dtbh_batch_seconds_sum")


def measure(port: int, kind: str, clients: int, seconds: float) -> dict[str, float]:
    """One load's figures: answers a second, milliseconds, and the mean batch."""
    queries = requests(port, kind)
    asyncio.run(load(port, queries, clients, 0.2 * seconds))  # warms caches and the lanes
    name = "search" if kind == "code" else "encode"
    before = lane(port, name)
    started = time.perf_counter()
    times = 1000 * asyncio.run(load(port, queries, clients, seconds))
    passed = time.perf_counter() - started
    batches, asked, worked = (after - b for after, b in zip(lane(port, name), before, strict=True))
    p50, p95, p99 = np.percentile(times, [50, 95, 99])
    return {"rate": len(times) / passed, "p50": p50, "p95": p95, "p99": p99, "batch": asked / batches,
            "added": times.mean() - 1000 * worked / batches}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive", type=Path)
    parser.add_argument("--model", type=Path, help="the model that made the archive, if it moved")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--seconds", type=float, default=5.0, help="of each load")
    parser.add_argument("--quick", action="store_true", help="see that it runs; the figures mean nothing")
    args = parser.parse_args(arguments)
    clients, seconds = ([1, 4], 0.3) if args.quick else (args.clients, args.seconds)
    print("| query | clients | answers/s | times batch=1 | p50 ms | p95 ms | p99 ms | mean batch | added ms |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|")
    with served(args.archive, args.model) as port, served(args.archive, args.model, "batch=1") as single:
        for kind in KINDS:
            for count in clients:
                found = measure(port, kind, count, seconds)
                alone = measure(single, kind, count, seconds)
                figures = [f"{found['rate']:.0f}", f"{found['rate'] / alone['rate']:.2f}"]
                figures += [f"{found[name]:.1f}" for name in ("p50", "p95", "p99", "batch")]
                figures.append(f"{found['added']:.1f}" if count == 1 else "")
                print(f"| {kind} | {count} | {' | '.join(figures)} |", flush=True)


if __name__ == "__main__":
    main()
