"""Items to codes and archives, killed and gone on with. The encoder is a stand-in that counts."""

from __future__ import annotations

import json
import signal
from dataclasses import replace

import pytest

from dtbh.cli.main import main
from dtbh.data.item_words import word_fields
from dtbh.data.manifest import Item, Manifest, write_manifest
from dtbh.errors import CodesError, DtbhError, MediaError, RunError
from dtbh.index.archive.archive import open_archive
from dtbh.stages.index import grow, index
from dtbh.stages.merge import merge
from tests.stages.conftest import N, killed, same, shards, whole, with_vectors


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
    for vectors in (None, True):
        grow("x", media, out=out, vectors=vectors)
    assert len(with_vectors(open_archive(out))) == N + 2
    grow("x", media, out=tmp_path / "grown", make=True, vectors=True)
    assert len(with_vectors(open_archive(tmp_path / "grown"))) == N + 2
    index("x", media, out=tmp_path / "bare")
    with pytest.raises(
        CodesError, match=r"bare was made without vectors; index everything .* --vectors, without --add"
    ):
        grow("x", media, out=tmp_path / "bare", vectors=True)
    with pytest.raises(CodesError, match="out was made with vectors; index everything again with --no-vectors"):
        grow("x", media, out=out, vectors=False)


def test_vectors_are_kept_unasked_where_the_model_takes_any_words(model, media, tmp_path, monkeypatch, capsys):
    out, old, grown = tmp_path / "out", tmp_path / "old", tmp_path / "grown"
    index("x", media, out=old)
    monkeypatch.setattr(model, "senses", replace(model.senses, sentences="minilm"))
    index("x", media, out=out)
    assert len(with_vectors(open_archive(out))) == N
    grow("x", media, out=grown, make=True)
    assert len(with_vectors(open_archive(grown))) == N
    for make in (index, grow):
        capsys.readouterr()
        make("x", media, out=old)
        assert "old: keeps no vectors, as it was made; made again with dtbh index --vectors" in capsys.readouterr().err
    assert open_archive(old).vector_dim is None, "what stands there goes on as it is"
    index("x", media, out=tmp_path / "part", known=old)
    assert open_archive(tmp_path / "part").vector_dim is None, "so does what it is a part of"
    index("x", media, out=out, vectors=False)
    assert open_archive(out).vector_dim is None
    monkeypatch.setattr(type(model), "vector_dim", property(_gives_none))
    index("x", media, out=tmp_path / "codes")
    assert open_archive(tmp_path / "codes").vector_dim is None


def test_words_stay_when_vectors_come_and_go(model, media, tmp_path):
    out = tmp_path / "out"
    index("x", media, out=out)
    words = word_fields(["dock", "quay"], [0.6, 0.2], "2 words 0123")
    open_archive(out).describe(lambda codes: [words] * len(codes))
    for vectors, encoded in ((True, N), (False, 0), (None, 0)):
        model.encoded.clear()
        index("x", media, out=out, vectors=vectors)
        assert len(model.encoded) == encoded, "codes do where no vectors are wanted"
        found = open_archive(out)
        assert (found.vector_dim is not None) == bool(vectors)
        assert [item.fields for item in found.at(range(N)).items] == [words] * N


def _gives_none(model):
    raise RunError(f"{model.path}: gives codes and no vectors")


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
