"""Shards, and parts that are merged: whose they are, what they name, and where their media lie."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from dtbh.codes import HashCodes, write_codes
from dtbh.data.manifest import Item
from dtbh.data.shards import Shard
from dtbh.errors import CodesError, ConfigError
from dtbh.index.archive.archive import create_archive, open_archive
from dtbh.stages.index import index
from dtbh.stages.merge import merge
from tests.stages.conftest import STAGES, N, same, shards, whole


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


def test_merging_refuses_other_encoders_and_ids_twice(tmp_path):
    def some(prefix, encoder="e1"):
        items = tuple(Item(f"{prefix}{n}", "image", str(tmp_path / f"{n}.png")) for n in range(3))
        return HashCodes(np.zeros((3, 1), np.uint64), 8, encoder, items)

    a, b, c = (tmp_path / name for name in "abc")
    create_archive(a, some("a"))
    create_archive(b, some("b", "e2"))
    create_archive(c, replace(some("c"), items=(some("a").items[1], *some("c").items[1:])))
    with pytest.raises(CodesError, match=r"b: of encoder e2 with 8 bits, .*a of e1 with 8"):
        merge(tmp_path / "all", [a, b])
    with pytest.raises(CodesError, match=r"a, .*c have the id 'a1' each; nothing was written"):
        merge(tmp_path / "all", [a, c])
    assert not (tmp_path / "all").exists()
    open_archive(a).remove(["a1"])
    assert merge(tmp_path / "all", [c, a]).count == 5
    assert [item.id for item in whole(open_archive(tmp_path / "all")).items] == ["a1", "c1", "c2", "a0", "a2"]


def test_what_is_merged_moves_with_its_media(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        items = (Item(name, "image", str(tmp_path / "media" / name / "x.png")), Item(f"{name}2", "sound", None))
        create_archive(
            tmp_path / name / "part", HashCodes(np.zeros((2, 1), np.uint64), 8, "e1", items), model=tmp_path / "run"
        )
    merge(tmp_path / "deep" / "all", [tmp_path / name / "part" for name in "ab"])
    merged = open_archive(tmp_path / "deep" / "all")
    assert merged.item("b").path == str(tmp_path / "media" / "b" / "x.png")
    assert merged.model == tmp_path / "run"
    tmp_path.rename(tmp_path.with_name(tmp_path.name + "-moved"))
    moved = tmp_path.with_name(tmp_path.name + "-moved")
    assert open_archive(moved / "deep" / "all").item("a").path == str(moved / "media" / "a" / "x.png")
    moved.rename(tmp_path)


@pytest.mark.parametrize("text", ["0/4", "5/4", "3", "3/", "a/b", "-1/4", "1/0"])
def test_a_wrong_shard(text):
    with pytest.raises(ConfigError, match=r"as in --shard 3/16"):
        Shard.parse(text)


def test_a_whole_is_no_shard(tmp_path):
    codes = HashCodes(np.zeros((1, 1), np.uint64), 8, "e1", (Item("a", "image"),))
    write_codes(codes, tmp_path / "c")
    meta = json.loads((tmp_path / "c" / "meta.json").read_text())
    assert "shard" not in meta
    (tmp_path / "c" / "meta.json").write_text(json.dumps({**meta, "shard": "3/4"}))
    shutil.copytree(tmp_path / "c", tmp_path / "d")
    with pytest.raises(CodesError, match="says to be the shard '3/4', which is none"):
        merge(tmp_path / "all", [tmp_path / "c", tmp_path / "d"])
