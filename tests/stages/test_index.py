"""Items to codes and archives, in shards, killed and gone on with, merged. The encoder is a stand-in that counts."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from dtbh.cli.main import main
from dtbh.codes import HashCodes, read_codes, whole_numbers
from dtbh.data.manifest import Item, Manifest, write_manifest
from dtbh.data.shards import Shard
from dtbh.errors import CodesError, ConfigError, DtbhError, MediaError
from dtbh.index.archive.archive import open_archive
from dtbh.models.encoder import Encoding
from dtbh.models.senses import Senses
from dtbh.stages.encode import encode
from dtbh.stages.index import grow, index
from dtbh.stages.merge import merge

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


@pytest.mark.parametrize("count", [1, 2, 5, 30])
def test_merged_shards_are_the_whole(model, media, stage, tmp_path, count):
    make, read = stage
    make("x", media, out=tmp_path / "whole")
    parts = shards(stage, media, tmp_path / "parts", count)
    sizes = [len(read(part)) for part in parts]
    assert sum(sizes) == N
    assert max(sizes) - min(sizes) <= 1
    if count > 1:
        assert merge(tmp_path / "all", parts[::-1]).count == N
        same(read(tmp_path / "all"), read(tmp_path / "whole"))
        assert read(tmp_path / "all").items[0].path == str(media / "000.png")
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_a_killed_stage_does_again_only_what_is_missing(model, media, stage, tmp_path):
    make, read = stage
    for kill_at in (3, 9, 10):
        assert killed(model, kill_at, lambda: make("x", media, out=tmp_path / "out"))
        assert not (tmp_path / "out").exists()
    done = make("x", media, out=tmp_path / "out")
    # Of 3 none was kept; of 9 eight; then of 10 more eight more.
    assert model.encoded == [f"{n:03}.png" for n in range(16, N)]
    assert (done.count, done.new) == (N, N - 16)
    assert {path.name for path in tmp_path.iterdir()} == {"out", "media"}
    make("x", media, out=tmp_path / "fresh")
    same(read(tmp_path / "out"), read(tmp_path / "fresh"))


@pytest.mark.parametrize(("at", "kept"), [(3, 0), (9, 8)])
def test_a_stage_that_is_told_to_end_says_what_it_keeps(model, media, tmp_path, capsys, at, kept):
    command = ["index", "x", str(media), "--out", str(tmp_path / "out")]
    model.kill_at, model.how = at, signal.SIGTERM
    assert main(command) == 143
    folder = tmp_path / ".out.partial"
    end = f"; {kept} items are kept in {folder}, and the same call goes on from there" if kept else ""
    start = f"encoding {N} images with /runs/x on cpu"
    assert capsys.readouterr().err.splitlines() == [start, f"dtbh: ended by SIGTERM{end}"]
    assert folder.exists() == bool(kept)
    model.kill_at = None
    model.encoded.clear()
    assert main([*command, "--log", "json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == (["remark"] if kept else []) + ["start"]
    assert lines[-1]["message"] == f"encoding {N - kept} images with /runs/x on cpu"
    assert len(model.encoded) == N - kept
    assert {path.name for path in tmp_path.iterdir()} == {"out", "media"}


def test_what_is_there_is_not_encoded_again(model, media, stage, tmp_path):
    make, read = stage
    out = tmp_path / "out"
    make("x", media, out=out)
    stamp = {path.name: path.stat().st_ino for path in out.iterdir()}
    model.encoded.clear()
    assert make("x", media, out=out).new == 0
    assert model.encoded == []
    assert {path.name: path.stat().st_ino for path in out.iterdir()} == stamp
    (media / "005.png").write_bytes(b"another")
    (media / "new.png").write_bytes(b"new")
    (media / "007.png").unlink()
    before = read(out)
    done = make("x", media, out=out)
    assert model.encoded == ["005.png", "new.png"]
    assert (done.count, done.new) == (N, 2)
    after = read(out)
    assert [item.id for item in after.items] == [
        *(f"{n:03}.png" for n in range(N) if n != 7),
        "new.png",
    ]
    assert (after.words[5] != before.words[5]).any()
    assert (after.words[7:-1] == before.words[8:]).all()


def test_vectors_are_kept_once_they_were_asked_for(model, media, tmp_path):
    out = tmp_path / "out"
    index("x", media, out=out)
    assert open_archive(out).vector_dim is None
    model.encoded.clear()
    assert index("x", media, out=out, vectors=True).new == N, "codes alone don't do"
    assert len(with_vectors(open_archive(out))) == len(model.encoded) == N
    model.encoded.clear()
    (media / "new.png").write_bytes(b"new")
    index("x", media, out=out)
    assert model.encoded == ["new.png"]
    assert len(with_vectors(open_archive(out))) == N + 1
    (media / "newer.png").write_bytes(b"newer")
    for vectors in (False, True):
        grow("x", media, out=out, vectors=vectors)
    assert len(with_vectors(open_archive(out))) == N + 2
    grow("x", media, out=tmp_path / "grown", make=True, vectors=True)
    assert len(with_vectors(open_archive(tmp_path / "grown"))) == N + 2
    index("x", media, out=tmp_path / "bare")
    with pytest.raises(CodesError, match="bare: was made without vectors; index everything again with --vectors"):
        grow("x", media, out=tmp_path / "bare", vectors=True)


def test_files_that_cant_be_read_are_left_out_and_tried_again(model, media, stage, tmp_path):
    make, read = stage
    (media / "003.png").write_bytes(b"bad")
    for _ in range(2):
        model.encoded.clear()
        done = make("x", media, out=tmp_path / "out")
        assert done.failures == (f"{media / '003.png'}: can't be read",)
        assert done.count == len(read(tmp_path / "out")) == N - 1
    assert model.encoded == ["003.png"]
    with pytest.raises(MediaError, match=r"003\.png"):
        make("x", media, out=tmp_path / "strict", strict=True)
    assert not (tmp_path / "strict").exists()


def test_a_shard_of_damaged_files_alone_is_a_part_with_nothing_in_it(model, media, stage, tmp_path):
    make, read = stage
    for name in ("000.png", "001.png"):
        (media / name).write_bytes(b"bad")
    done = make("x", media, out=tmp_path / "first", shard=Shard(1, N // 2))
    assert (done.count, len(done.failures)) == (0, 2)
    parts = shards(stage, media, tmp_path / "parts", N // 2)
    assert merge(tmp_path / "all", parts).count == N - 2
    make("x", media, out=tmp_path / "whole")
    same(read(tmp_path / "all"), read(tmp_path / "whole"))


def test_another_encoder_starts_anew(model, media, stage, tmp_path):
    make, read = stage
    make("x", media, out=tmp_path / "out")
    model.fingerprint = "e2"
    model.encoded.clear()
    make("x", media, out=tmp_path / "out")
    assert len(model.encoded) == N
    assert read(tmp_path / "out").encoder == "e2"


@pytest.mark.parametrize("damage", ["cut", "altered", "settings", "newer"])
def test_what_is_damaged_is_made_again(model, media, stage, tmp_path, capsys, damage):
    make, read = stage
    out = tmp_path / "out"
    make("x", media, out=out)
    wanted = read(out)
    data, meta = next(out.glob("codes.*")), next(file for file in out.glob("*.json"))
    content = data.read_bytes()
    if damage == "cut":
        data.write_bytes(content[:-1])
    elif damage == "altered":
        data.write_bytes(content[:-8] + bytes([content[-8] ^ 1]) + content[-7:])
    else:
        meta.write_text("{" if damage == "settings" else meta.read_text().replace('"version": ', '"version": 9'))
    (media / "001.png").touch()
    capsys.readouterr()
    assert make("x", media, out=out).count == N
    assert "making it again: " in capsys.readouterr().err
    same(read(out), wanted)


def test_the_tiles_of_one_file_are_told_apart(model, media, tmp_path):
    items = tuple(
        Item(f"t{n}", "image", "media/000.png", window=(n, 0, 1, 1), fields={"sensor": "S2"}) for n in range(9)
    )
    write_manifest(Manifest(items, tmp_path, "scenes"))
    monkey = pytest.MonkeyPatch()
    monkey.setattr(
        "dtbh.stages.inputs.manifest_for", lambda model, data: (Manifest(items, tmp_path, "scenes"), "files")
    )
    with monkey.context():
        index("x", tmp_path / "manifest.jsonl", out=tmp_path / "out")
        found = whole(open_archive(tmp_path / "out"))
        assert len({tuple(words) for words in found.words.tolist()}) == 9
        model.encoded.clear()
        index("x", tmp_path / "manifest.jsonl", out=tmp_path / "out")
        assert model.encoded == []
    monkey.undo()


def test_shards_take_over_what_the_whole_has(model, media, stage, tmp_path):
    make, read = stage
    make("x", media, out=tmp_path / "whole")
    model.encoded.clear()
    (media / "009.png").write_bytes(b"another")
    for number in (1, 2):
        make("x", media, out=tmp_path / str(number), shard=Shard(number, 2), known=tmp_path / "whole")
    assert model.encoded == ["009.png"]
    assert merge(tmp_path / "again", [tmp_path / "1", tmp_path / "2"]).count == N
    assert read(tmp_path / "again").items == read(tmp_path / "whole").items


def test_growing_adds_what_is_not_there(model, media, tmp_path):
    out = tmp_path / "out"
    index("x", media, out=out)
    model.encoded.clear()
    for n in range(6):
        (media / f"new{n}.png").write_bytes(f"new {n}".encode())
    (media / "new3.png").write_bytes(b"bad")
    done = grow("x", media, out=out)
    assert (done.count, done.new, len(done.failures)) == (N + 5, 5, 1)
    assert model.encoded == [f"new{n}.png" for n in range(6)]
    assert grow("x", media, out=out).new == 0
    archive = open_archive(out)
    assert [item.id for item in archive.items(archive.rows())][N:] == [f"new{n}.png" for n in (0, 1, 2, 4, 5)]
    assert len(archive._view().segments) == 3


def test_a_killed_growth_goes_on_where_it_was(model, media, tmp_path):
    out = tmp_path / "out"
    (tmp_path / "some").mkdir()
    shutil.copy2(media / "000.png", tmp_path / "some" / "a.png")
    index("x", tmp_path / "some", out=out)
    model.encoded.clear()
    assert killed(model, 10, lambda: grow("x", media, out=out))
    assert len(open_archive(out)) == 9
    grow("x", media, out=out)
    assert model.encoded == [f"{n:03}.png" for n in range(8, N)]
    assert len(open_archive(out)) == N + 1


def test_growing_refuses_what_does_not_fit(model, media, tmp_path):
    out, other = tmp_path / "out", tmp_path / "other"
    index("x", media, out=out)
    other.mkdir()
    (other / "003.png").write_bytes(b"another")
    with pytest.raises(CodesError, match=r"1 ids stand for other files there, the first is 003\.png: .*media.*other"):
        grow("x", other, out=out)
    with pytest.raises(CodesError, match="no archive here"):
        grow("x", media, out=tmp_path / "nowhere")
    model.fingerprint = "e2"
    with pytest.raises(CodesError, match=r"made by encoder e1, .* is e2; add with"):
        grow("x", media, out=out)
    assert len(open_archive(out)) == N


def test_merging_refuses_what_does_not_fit(model, media, tmp_path):
    parts = shards(STAGES["index"], media, tmp_path / "parts", 4)
    codes = shards(STAGES["encode"], media, tmp_path / "codes", 4)
    index("x", media, out=tmp_path / "whole")
    for kind in (parts, codes):
        with pytest.raises(CodesError, match="2 of 4 shards are missing: 2, 3; make them first"):
            merge(tmp_path / "all", [kind[0], kind[3]])
        copy = shutil.copytree(kind[2], tmp_path / f"copy-{kind[0].parent.name}")
        with pytest.raises(CodesError, match=r"copy.*: is shard 3/4, as .*3 is; give each once"):
            merge(tmp_path / "all", [*kind, copy])
        with pytest.raises(CodesError, match=r"3: is given twice"):
            merge(tmp_path / "all", [*kind, kind[2]])
    with pytest.raises(CodesError, match=r"whole: is no shard, but .*1 is 1/4"):
        merge(tmp_path / "all", [*parts, tmp_path / "whole"])
    with pytest.raises(CodesError, match="holds codes, but not all parts do"):
        merge(tmp_path / "all", [parts[0], codes[1]])
    with pytest.raises(CodesError, match="no archive here"):
        merge(tmp_path / "all", [parts[0], tmp_path / "nowhere"])
    with pytest.raises(ConfigError, match="two parts or more"):
        merge(tmp_path / "all", parts[:1])
    with pytest.raises(CodesError, match="is one of the parts"):
        merge(parts[0], parts)
    (media / "zzz.png").write_bytes(b"one more")
    index("x", media, out=parts[3], shard=Shard(4, 4))
    with pytest.raises(CodesError, match="is shard 4/4 of another source or count than"):
        merge(tmp_path / "all", parts)
    assert not (tmp_path / "all").exists()


def test_merging_notices_an_altered_part(model, media, tmp_path):
    parts = shards(STAGES["index"], media, tmp_path / "parts", 2)
    data = bytearray((parts[1] / "codes.bin").read_bytes())
    data[0] ^= 1
    (parts[1] / "codes.bin").write_bytes(data)
    with pytest.raises(CodesError, match=r"2/codes\.bin: codes 0 to 11 were altered"):
        merge(tmp_path / "all", parts)
    assert not (tmp_path / "all").exists()


def test_two_at_the_same_place(model, media, tmp_path, monkeypatch):
    folder = tmp_path / ".out.partial"
    folder.mkdir()
    from dtbh.utils.files import file_lock

    with file_lock(folder, "encoding"), pytest.raises(DtbhError, match="another process is encoding here"):
        index("x", media, out=tmp_path / "out")


def test_an_index_on_milvus_is_made_and_grows(model, media, tmp_path, capsys):
    place = ["--engine", "milvus", "--uri", str(tmp_path / "m.db")]
    assert main(["index", "x", str(media), *place]) == 0
    (media / "more.png").write_bytes(b"more")
    assert main(["index", "x", str(media), *place]) == 0
    said = capsys.readouterr().out
    assert "23 items added, 23 in all" in said
    assert "1 items added, 24 in all" in said
    assert main(["index", "x", str(media), "--out", str(tmp_path / "out"), *place]) == 2
    assert "the engine milvus takes --uri alone" in capsys.readouterr().err


def test_by_the_command_line(model, media, tmp_path, capsys):
    out = str(tmp_path / "out")
    assert main(["index", "x", str(media), "--out", out, "--shard", "1/2"]) == 0
    assert f"{out}: 11 items" in capsys.readouterr().out
    assert main(["info", out]) == 0
    assert "shard     1/2 of a source" in capsys.readouterr().out
    assert main(["encode", "x", str(media), "--out", f"{out}-codes", "--shard", "2/2"]) == 0
    assert json.loads((tmp_path / "out-codes" / "meta.json").read_text())["shard"]["number"] == 2
    assert main(["index", "x", str(media), "--out", f"{out}2", "--shard", "2/2"]) == 0
    capsys.readouterr()
    assert main(["merge", f"{out}-all", out, f"{out}2"]) == 0
    assert capsys.readouterr().out == f"{out}-all: 23 items of 2 parts\n"
    (media / "more.png").write_bytes(b"more")
    assert main(["index", "x", str(media), "--out", f"{out}-all", "--add"]) == 0
    assert capsys.readouterr().out == f"{out}-all: 1 items added, 24 in all\n"
    assert main(["index", "x", str(media), "--out", f"{out}-all", "--add", "--shard", "1/2"]) == 2
    assert "go with neither --add nor --engine; index the shards" in capsys.readouterr().err


def test_a_name_that_is_not_utf8_is_left_out_alone(model, media, stage, tmp_path):
    make, read = stage
    for name in ("zz\udce9.png", "zz\udce9.wav"):
        try:
            (media / name).write_bytes(b"tile")
        except OSError:
            pytest.skip("the file system takes names in UTF-8 alone")
    with pytest.raises(MediaError, match=r"^'.*zz\\udce9\.png': its id is not UTF-8; rename the file$"):
        make("x", media, out=tmp_path / "strict", strict=True)
    assert model.encoded == []
    assert not (tmp_path / "strict").exists()
    done = make("x", media, out=tmp_path / "out")
    assert [line.partition(":")[0].rpartition("/")[2] for line in done.failures] == ["zz\\udce9.png'", "zz\\udce9.wav'"]
    assert done.count == len(read(tmp_path / "out")) == len(model.encoded) == N
    parts = shards(stage, media, tmp_path / "parts", 2)
    assert merge(tmp_path / "all", parts).count == N
    for path in media.glob("0*"):
        path.unlink()
    with pytest.raises(DtbhError, match="none of 2 files could be read"):
        make("x", media, out=tmp_path / "none")


def test_growing_leaves_out_a_name_that_is_not_utf8(model, media, tmp_path):
    try:
        (media / "zz\udce9.png").write_bytes(b"tile")
    except OSError:
        pytest.skip("the file system takes names in UTF-8 alone")
    with pytest.raises(MediaError, match="is not UTF-8"):
        grow("x", media, out=tmp_path / "out", make=True, strict=True)
    assert model.encoded == []
    done = grow("x", media, out=tmp_path / "out", make=True)
    assert (done.count, len(done.failures), len(model.encoded)) == (N, 1, N)
