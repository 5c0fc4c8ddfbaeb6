"""Images named by their nearest words, in an archive that stands. The encoder of words is a stand-in."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dtbh.cli.main import main
from dtbh.codes import HashCodes, whole_numbers
from dtbh.data.item_words import FIELDS, NAMED_BY, PROBABILITIES, WORD, WORDS, words_of
from dtbh.data.manifest import Item
from dtbh.errors import CodesError, ConfigError, DataError
from dtbh.index.archive.archive import create_archive, open_archive
from dtbh.index.archive.merging import merge_archives
from dtbh.models.encoder import Encoding
from dtbh.models.senses import Senses
from dtbh.search.naming import place_words
from dtbh.stages.index import index
from dtbh.stages.label import label
from tests.index.made import make_codes
from tests.stages.conftest import Counting

DIM = 8


class Words:
    """Texts have the codes and vectors of their lengths."""

    path, bits, fingerprint, language = Path("/runs/x"), 20, "e1", "auto"

    def __init__(self, text=True):
        self.senses = Senses(("text",) if text else (), None, False, "minilm_l6" if text else None)

    def encode(self, items, *, values, vectors):
        lengths = [len(item.transcript) for item in items]
        drawn = np.array([np.random.default_rng(length).normal(size=self.bits) for length in lengths], np.float32)
        codes = HashCodes.from_values(drawn, encoder=self.fingerprint, items=items)
        if vectors:
            codes = replace(codes, vectors=whole_numbers(drawn[:, :DIM], np.int16))
        return Encoding(codes, (), drawn)


@pytest.fixture
def model(monkeypatch):
    made = Words()
    monkeypatch.setattr("dtbh.stages.label.load", lambda run: made)
    return made


@pytest.fixture(params=[None, DIM], ids=["codes", "vectors"])
def archive(request, tmp_path):
    return create_archive(tmp_path / "archive", make_codes(dim=request.param), model="/runs/x")


@pytest.fixture
def words(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("sea\nriver\nbeaches\nforest edge\nsand\n")
    return path


def test_images_get_words_and_keep_all_else(model, archive, words):
    before = archive.at(archive.rows())
    done = label(archive.path, words=words, top=2)
    assert (done.images, done.new, done.words) == (30, 30, 5)
    archive.refresh()
    archive.verify()
    after = archive.at(archive.rows())
    assert after.words.tolist() == before.words.tolist()
    assert (after.vectors is None) == (before.vectors is None)
    if after.vectors is not None:
        np.testing.assert_array_equal(whole_numbers(after.vectors, np.int8), whole_numbers(before.vectors, np.int8))
    for old, new in zip(before.items, after.items, strict=True):
        assert replace(new, fields={n: v for n, v in new.fields.items() if n not in FIELDS}) == old
        if new.modality != "image":
            assert new == old
            continue
        nearest, second = new.fields[WORDS].split(";")
        assert new.fields[WORD] == nearest != second
        likely = [float(share) for share in new.fields[PROBABILITIES].split(";")]
        assert 1 >= likely[0] >= likely[1] >= 0
    counts = archive.counted(WORD)
    assert dict(done.counts) == counts
    assert sum(counts.values()) == 30


def test_filters_find_the_nearest_and_those_among_others(model, archive, words):
    label(archive.path, words=words, top=2)
    archive.refresh()
    images = [archive.item(item.id) for item in archive.items(archive.rows({"modality": "image"}))]
    for word in ("sea", "river", "beaches", "forest edge", "sand"):
        nearest = [item for item in images if item.fields[WORD] == word]
        among = [item for item in images if word in item.fields[WORDS].split(";")]
        assert list(archive.items(archive.rows({WORD: word}))) == nearest
        assert list(archive.items(archive.rows({WORDS: word}))) == among
    with pytest.raises(ConfigError, match="unknown filter field 'wort'; did you mean word"):
        archive.rows({"wort": "sea"})


def test_again_does_nothing_and_another_list_replaces(model, archive, words):
    label(archive.path, words=words)
    files = {file.name: file.read_bytes() for file in archive.path.iterdir()}
    assert label(archive.path, words=words).new == 0
    assert {file.name: file.read_bytes() for file in archive.path.iterdir()} == files
    assert label(archive.path, words=words, top=1).new == 30
    words.write_text("\ufeffmoon\n\nmoon\n")
    done = label(archive.path, words=words)
    assert (done.new, dict(done.counts)) == (30, {"moon": 30})
    archive.refresh()
    archive.add(make_codes(4, prefix="n", dim=archive.vector_dim))
    assert label(archive.path, words=words).counts == {"moon": 32}


def test_what_is_removed_is_not_named(model, archive, words):
    archive.remove(["i0", "i1", "i2"])
    assert label(archive.path, words=words).images == 28
    archive.refresh()
    assert len(archive) == 57


def test_fields_of_ones_own_are_never_overwritten(model, words, tmp_path):
    codes = make_codes()
    own = replace(codes.items[4], fields={"word": "Hafen"})
    archive = create_archive(tmp_path / "archive", replace(codes, items=(*codes.items[:4], own, *codes.items[5:])))
    with pytest.raises(CodesError, match="item i4 has a field word of its own"):
        label(archive.path, words=words, model="/runs/x")
    assert open_archive(archive.path).item("i4").fields == {"word": "Hafen"}
    assert sorted(file.name for file in archive.path.iterdir()) == ["archive.json", "codes.bin", "items.sqlite"]


def test_what_can_t_be_named_is_said_before_anything_is_written(model, monkeypatch, words, tmp_path):
    path = create_archive(tmp_path / "a", make_codes(), model="/runs/x").path
    for top in (0, 21):
        with pytest.raises(ConfigError, match=f"--top {top}: wanted"):
            label(path, words=words, top=top)
    sounds = create_archive(tmp_path / "s", make_codes(modalities=("sound",)), model="/runs/x").path
    with pytest.raises(CodesError, match="has no images"):
        label(sounds, words=words)
    with pytest.raises(ConfigError, match="does not say which run"):
        label(create_archive(tmp_path / "m", make_codes()).path)
    words.write_text("\n")
    with pytest.raises(DataError, match="holds no word"):
        label(path, words=words)
    model.fingerprint = "e2"
    with pytest.raises(CodesError, match="made by encoder e1, the model is e2"):
        label(path)
    monkeypatch.setattr("dtbh.stages.label.load", lambda run: Words(text=False))
    with pytest.raises(ConfigError, match="has no tower for texts"):
        label(path)
    assert sorted(file.name for file in path.iterdir()) == ["archive.json", "codes.bin", "items.sqlite"]


def test_merging_and_indexing_again_keep_the_words(model, words, tmp_path, monkeypatch):
    monkeypatch.setattr("dtbh.stages.index.load", lambda run: Counting(run))
    media = tmp_path / "media"
    media.mkdir()
    for n in range(5):
        (media / f"{n}.png").write_bytes(f"tile {n}".encode())
    path = index("/runs/x", media, out=tmp_path / "archive").path
    label(path, words=words)
    named = open_archive(path).items(range(5))
    assert all(NAMED_BY in item.fields for item in named)
    assert index("/runs/x", media, out=path).new == 0
    assert open_archive(path).items(range(5)) == named
    (media / "5.png").write_bytes(b"tile 5")
    assert index("/runs/x", media, out=path).new == 1
    grown = open_archive(path).items(range(6))
    assert grown[:5] == named
    assert not words_of(grown[5])
    other = create_archive(tmp_path / "other", make_codes(4, prefix="n"), model="/runs/x").path
    assert merge_archives(tmp_path / "both", [path, other]).items(range(5)) == named


def test_from_the_shell(model, archive, words, tmp_path, capsys):
    assert main(["label", str(archive.path), "--words", str(words), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["images"], said["new"], sum(said["counts"].values())) == (30, 30, 30)
    assert main(["label", str(archive.path), "--words", str(words)]) == 0
    assert "30 images have words, 0 of them new, of a list of 5" in capsys.readouterr().out
    assert main(["label", "--engine", "milvus", "--uri", "x.db"]) == 2
    assert "only an archive in a folder can be named" in capsys.readouterr().err
    assert main(["label", str(tmp_path / "none")]) == 2
    assert "no archive here" in capsys.readouterr().err


def test_the_figures_of_the_example(model, tmp_path, monkeypatch, capsys):
    """Images that lie where their own class names do are all named right; one that lies where another's does is not."""
    labels = ["river", "sea", "tenniscourt"]
    placed = place_words(model, ["river", "sea", "tennis court"], vectors=True)
    kinds = [0, 1, 2, 0, 1, 2, 0, 1]
    items = tuple(Item(f"i{row}", "image", label=labels[kind]) for row, kind in enumerate([*kinds[:-1], 2]))
    codes = HashCodes(placed.codes[kinds], 20, "e1", items, whole_numbers(placed.vectors[kinds], np.int16))
    archive = create_archive(tmp_path / "archive", codes, model="/runs/x")
    monkeypatch.setattr("dtbh.load", lambda run: model, raising=False)
    spec = importlib.util.spec_from_file_location("naming", Path(__file__).parents[2] / "examples" / "naming.py")
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    for more in ([], ["--choose"]):
        monkeypatch.setattr("sys.argv", ["naming.py", str(archive.path), *more])
        example.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "8 images, 3 names, chance 0.333"
    assert [line.split(" | ")[1].split()[0] for line in lines[4:6]] == ["0.875", "0.875"]
    assert "tennis court | 0.67 | sea 1" in lines
    chosen = [line.split(" | ") for line in lines if line.startswith("{}, an aerial view of {} | ")]
    assert [(row[1], row[2]) for row in chosen] == [("codes", "0.875"), ("vectors", "0.875"), ("both", "0.875")]
