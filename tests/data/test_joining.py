"""Several data folders as one: items, names, splits, a run over both and its evaluation."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import dtbh
from dtbh.data.joining import joined, read_data
from dtbh.data.manifest import Manifest, read_manifest, write_manifest
from dtbh.data.splits import split_for
from dtbh.errors import DataError
from dtbh.stages.evaluate import evaluate
from dtbh.stages.export import export
from dtbh.stages.train import train
from tests.training.test_sentence_space import any_words


@pytest.fixture(scope="module")
def both(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The tiny data, and some of its tiles again in another place."""
    other = tmp_path_factory.mktemp("more") / "other"
    shutil.copytree(tiny_data, other)
    manifest = read_manifest(other)
    some = [item for item in manifest if item.label != "red"]
    write_manifest(manifest.replaced(replace(item, fields={"paraphrase_of": some[0].id}) if n == 1 else item
                                     for n, item in enumerate(some)))  # fmt: skip
    return [tiny_data, other]


def test_one_folder_is_itself(tiny_data):
    assert read_data([tiny_data]) == read_manifest(tiny_data)


def test_items_stand_side_by_side(both):
    apart, together = [read_manifest(folder) for folder in both], read_data(both)
    assert len(together) == sum(map(len, apart))
    rows = iter(together)
    for manifest, folder in zip(apart, both, strict=True):
        for item in manifest:
            found = next(rows)
            assert found.id == f"{folder.name}/{item.id}"
            assert found.pair == f"{folder.name}/{item.pair}"
            assert together.file(found).resolve() == manifest.file(item).resolve()
            assert (found.label, found.split, found.speaker) == (item.label, item.split, item.speaker)
    assert together.labels == ("blue", "green", "red")
    assert {i.fields["paraphrase_of"] for i in together if i.fields} == {f"other/{next(iter(apart[1])).id}"}
    assert together.fingerprint != read_data(both[::-1]).fingerprint


def test_two_of_one_name_are_refused(both, tmp_path):
    shutil.copytree(both[1], tmp_path / "other")
    with pytest.raises(DataError, match="two data folders of this name"):
        read_data([both[1], tmp_path / "other"])
    with pytest.raises(DataError, match="given twice"):
        read_data([both[0], both[0]])


def test_captions_without_a_file_stay_so():
    manifests = [
        Manifest((dtbh.Item("a", "sound", None, "x", "p", transcript="y"),), Path(f"/nowhere/{name}"), name)
        for name in "ab"
    ]
    assert [item.path for item in joined(manifests)] == [None, None]


def test_a_run_over_both(both, tmp_path):
    run = train(any_words(sound=None), both, tmp_path / "run")
    said = json.loads((run / "run.json").read_text())
    assert [(run / folder).resolve() for folder in said["data"]] == [folder.resolve() for folder in both]
    assert said["source"] == "tiny+tiny"
    report, _ = evaluate(run)
    asked = report.directions["image->text"].n_queries
    split = split_for(read_data(both), any_words())
    assert asked == sum(item.split == "test" for item in split.images)
    assert {item.id.split("/")[0] for item in split.images if item.split == "test"} == {f.name for f in both}
    exported = export(run, out=tmp_path / "elsewhere" / "model")
    assert evaluate(exported.path)[0].directions["image->text"].n_queries == asked
    alone, _ = evaluate(run, data=_with_splits(both[1], tmp_path / "alone"))
    assert alone.directions["image->text"].n_queries == 24
    assert train(any_words(sound=None), both, run) == run, "it is left where it is finished"
    with pytest.raises(dtbh.DtbhError, match="holds a run on other data"):
        train(any_words(sound=None), both[0], run)


def _with_splits(data: Path, out: Path) -> Path:
    shutil.copytree(data, out)
    manifest = read_manifest(out)
    write_manifest(manifest.replaced(replace(item, split="test", fields={}) for item in manifest))
    return out
