"""Parts that are merged: whose they are, what they name, and where their media lie."""

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
from dtbh.stages.merge import merge
from tests.stages.test_index import whole


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
