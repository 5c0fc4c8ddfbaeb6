"""Stages that encode and index: a stand-in for an encoder, which counts, and files for it."""

from __future__ import annotations

import hashlib
import os
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from dtbh.codes import HashCodes, read_codes, whole_numbers
from dtbh.data.shards import Shard
from dtbh.errors import MediaError
from dtbh.index.archive.archive import open_archive
from dtbh.models.encoder import Encoding
from dtbh.models.senses import Senses
from dtbh.stages.encode import encode
from dtbh.stages.index import index

N = 23


class Counting:
    """The code of a file is its content's hash; a file that says ``bad`` can't be read."""

    bits, vector_dim, device = 20, 6, "cpu"
    senses = Senses(("image", "sound"), 8.0, False, None)

    def __init__(self, path):
        self.path, self.fingerprint = Path(path), "e1"
        self.encoded: list[str] = []
        self.kill_at: int | None = None
        self.how = signal.SIGKILL

    def encode(self, items, *, skip=False, stored=False, vectors=False):
        words, real, good, failures = [], [], [], []
        for item in items:
            if self.kill_at is not None and len(self.encoded) == self.kill_at:
                os.kill(os.getpid(), self.how)
            self.encoded.append(item.id)
            content = Path(item.path).read_bytes()
            if content == b"bad":
                if not skip:
                    raise MediaError(f"{item.path}: can't be read")
                failures.append(f"{item.path}: can't be read")
                continue
            digest = hashlib.sha256(content + str(item.window).encode()).digest()
            words.append(int.from_bytes(digest[:2], "little"))
            real.append(vector_of(words[-1]))
            good.append(item)
        codes = HashCodes(np.array(words, np.uint64).reshape(-1, 1), self.bits, self.fingerprint, tuple(good))
        if vectors:
            codes = replace(codes, vectors=whole_numbers(np.reshape(real, (-1, 6)), np.int16))
        return Encoding(codes, tuple(failures))


@pytest.fixture
def model(monkeypatch):
    counting = Counting("/runs/x")
    for stage in ("encode", "index"):
        monkeypatch.setattr(f"dtbh.stages.{stage}.load", lambda run: counting)
    monkeypatch.setattr("dtbh.stages.resumable.BATCH", 4)
    return counting


@pytest.fixture
def media(tmp_path):
    folder = tmp_path / "media"
    folder.mkdir()
    for n in range(N):
        (folder / f"{n:03}.png").write_bytes(f"tile {n}".encode())
        os.utime(folder / f"{n:03}.png", (1e9, 1e9))
    return folder


STAGES = {
    "encode": (encode, read_codes),
    "index": (index, lambda path: whole(open_archive(path))),
    "index with vectors": (partial(index, vectors=True), lambda path: with_vectors(open_archive(path))),
}


@pytest.fixture(params=STAGES)
def stage(request):
    """A stage, and what reads its place."""
    return STAGES[request.param]


def whole(archive):
    archive.verify()
    return archive.at(archive.rows())


def vector_of(word):
    """What stands for the vector of a code."""
    return np.random.default_rng(int(word)).normal(size=6)


def with_vectors(archive):
    """All of an archive, if each code has its own vector beside it."""
    codes = whole(archive)
    wanted = np.array([vector_of(word) for word in codes.words[:, 0]]).reshape(-1, 6)
    np.testing.assert_array_equal(whole_numbers(codes.vectors, np.int8), whole_numbers(wanted, np.int8))
    return codes


def same(one, other):
    assert one.items == other.items
    assert one.words.tolist() == other.words.tolist()
    assert (one.bits, one.encoder) == (other.bits, other.encoder)


def killed(model, at, do):
    """Whether a process of its own was killed at a file, by the model; however it ends, it is no second pytest."""
    child = os.fork()
    if child == 0:
        try:
            model.kill_at = at
            do()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def shards(stage, media, folder, count):
    make, _ = stage
    for number in range(1, count + 1):
        make("x", media, out=folder / str(number), shard=Shard(number, count))
    return [folder / str(number) for number in range(1, count + 1)]
