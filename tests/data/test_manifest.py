from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from dtbh.data.manifest import NAME, Item, Manifest, read_manifest, relative, write_manifest
from dtbh.errors import DataError


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    items = (
        Item("1", "image", "../images/1.tif", "beach", "1", "train"),
        Item("1S1", "sound", "sounds/1S1.flac", "beach", "1", "train", "anna", "Wellen, große ."),
        Item("1S2", "sound", None, "beach", "1", "train", None, "A beach ."),
    )
    return Manifest(items, tmp_path, "ucm", {"arguments": {"images": "/x"}})


def test_round_trip_from_file_and_from_folder(manifest: Manifest, tmp_path: Path) -> None:
    path = write_manifest(manifest)
    assert path == tmp_path / NAME
    assert read_manifest(path) == read_manifest(tmp_path) == manifest


def test_one_item_a_line_and_unknown_fields_left_out(manifest: Manifest) -> None:
    lines = write_manifest(manifest).read_text(encoding="utf-8").splitlines()
    assert len(lines) == 4
    assert json.loads(lines[3]).keys() == {"id", "modality", "label", "pair", "split", "transcript"}
    assert "große" in lines[2]


def test_tiles_of_scenes_and_further_fields(tmp_path: Path) -> None:
    corners = ((4.0, 51.9), (4.1, 51.9), (4.1, 52.0), (4.0, 52.0))
    tile = Item("t", "image", "s.tif", window=(0, 64, 32, 16), footprint=corners, fields={"sensor": "S2"})
    made = Manifest((tile, Item("u", "image", "s.tif")), tmp_path, "scenes")
    assert read_manifest(write_manifest(made)) == made
    line = json.loads((tmp_path / NAME).read_text().splitlines()[1])
    assert (line["window"], line["fields"]) == ([0, 64, 32, 16], {"sensor": "S2"})
    assert dict(tile.texts()) == {"id": "t", "modality": "image", "path": "s.tif", "sensor": "S2"}
    assert hash(tile) == hash(Item("t", "image", "s.tif", window=(0, 64, 32, 16), footprint=corners))


def test_views(manifest: Manifest, tmp_path: Path) -> None:
    assert [item.id for item in manifest.images] == ["1"]
    assert [item.id for item in manifest.sounds] == ["1S1", "1S2"]
    assert manifest.labels == ("beach",)
    assert manifest.file(manifest.items[1]) == tmp_path / "sounds" / "1S1.flac"
    with pytest.raises(DataError, match="1S2 has no file yet; run: dtbh speak"):
        manifest.file(manifest.items[2])


def test_fingerprint_is_of_the_items_in_their_order(manifest: Manifest) -> None:
    assert manifest.fingerprint == manifest.replaced(manifest.items).fingerprint
    assert manifest.fingerprint != manifest.replaced(manifest.items[::-1]).fingerprint
    assert manifest.fingerprint != manifest.replaced(manifest.items[:2]).fingerprint


def test_relative_uses_forward_slashes_and_can_leave_the_folder(tmp_path: Path) -> None:
    assert relative(tmp_path / "a" / "b.png", tmp_path) == "a/b.png"
    assert relative(tmp_path / "a" / "b.png", tmp_path / "c") == "../a/b.png"


def test_cut_file(manifest: Manifest) -> None:
    path = write_manifest(manifest)
    path.write_text("".join(path.read_text(encoding="utf-8").splitlines(keepends=True)[:-1]), encoding="utf-8")
    with pytest.raises(DataError, match=r"do not fit the header's fingerprint .* cut or edited"):
        read_manifest(path)


def test_cut_inside_a_line(manifest: Manifest) -> None:
    path = write_manifest(manifest)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match="line 4 is no item"):
        read_manifest(path)


def test_edited_file(manifest: Manifest) -> None:
    path = write_manifest(manifest)
    path.write_text(path.read_text(encoding="utf-8").replace("anna", "hanna"), encoding="utf-8")
    with pytest.raises(DataError, match="fingerprint"):
        read_manifest(path)


def test_missing_empty_and_foreign_files(tmp_path: Path) -> None:
    path = tmp_path / NAME
    with pytest.raises(DataError, match="no manifest here; make one with: dtbh prepare"):
        read_manifest(tmp_path)
    for text in ("", "no json\n", "[1]\n", "{}\n"):
        path.write_text(text)
        with pytest.raises(DataError, match="line 1 is not a manifest's header"):
            read_manifest(path)
    path.write_text('{"version": 99, "source": "x", "fingerprint": "x"}\n')
    with pytest.raises(DataError, match="manifest version 99, this dtbh reads 1"):
        read_manifest(path)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ('{"id": "a", "modality": "film"}', "must be image, sound or text, found 'film'"),
        ('{"id": "a", "modality": "image", "split": "dev"}', "train, val or test, found 'dev'"),
        ('{"id": "", "modality": "image"}', "non-empty string"),
        ('{"id": "a", "modality": "image", "label": 3}', "label must be a string, found 3"),
        ('{"id": "a", "modality": "image", "label": ["x", 3]}', "label must be a string"),
        ('{"id": "a", "modality": "image", "lable": "x"}', "lable"),
        ('{"id": "a", "modality": "image", "window": [0, 0, 9]}', r"column, row, width, height .* found \[0, 0, 9\]"),
        ('{"id": "a", "modality": "image", "window": [0, -1, 9, 9]}', "column, row, width, height"),
        ('{"id": "a", "modality": "image", "window": [0, 0, 0, 9]}', "column, row, width, height"),
        ('{"id": "a", "modality": "image", "window": [0, 0, 1.5, 9]}', "column, row, width, height"),
        ('{"id": "a", "modality": "image", "window": [0.5, 8]}', "column, row, width, height"),
        ('{"id": "a", "modality": "sound", "window": [0, 0, 9, 9]}', r"start, length in seconds, found \[0, 0, 9, 9\]"),
        ('{"id": "a", "modality": "sound", "window": [-1, 8]}', "start, length in seconds"),
        ('{"id": "a", "modality": "sound", "window": [0, 0]}', "start, length in seconds"),
        ('{"id": "a", "modality": "image", "footprint": [[0, 0], [1, 1]]}', "three or more"),
        ('{"id": "a", "modality": "image", "footprint": [[0, 0], [1, 1], [0, 91]]}', "three or more"),
        ('{"id": "a", "modality": "image", "footprint": [[0, 0], [1, 1], [0, NaN]]}', "three or more"),
        ('{"id": "a", "modality": "image", "footprint": 3}', "three or more"),
        ('{"id": "a", "modality": "image", "fields": ["x"]}', "must be texts by name"),
        ('{"id": "a", "modality": "image", "fields": {"label": "x"}}', "a name of its own"),
        ('{"id": "a", "modality": "image", "fields": {"sensor": 2}}', "sensor must be a string, found 2"),
        ("[1]", "argument after"),
    ],
)
def test_bad_field(manifest: Manifest, line: str, found: str) -> None:
    path = write_manifest(manifest)
    with path.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(DataError, match=f"(?s)line 5 is no item .*{found}"):
        read_manifest(path)


def test_duplicate_ids_are_all_named(tmp_path: Path) -> None:
    items = tuple(Item(name, "image") for name in "abcab")
    with pytest.raises(DataError, match=r"2 ids stand more than once\n  - id a\n  - id b"):
        Manifest(items, tmp_path, "x")


@pytest.mark.parametrize("given", ["residential; harbor", "harbor;residential;", ";harbor;;residential;harbor"])
def test_several_labels_are_one_text_however_they_are_given(given: str, tmp_path: Path) -> None:
    item = Item("a", "image", label=given)
    assert item == Item("a", "image", label=["residential", "harbor"])  # type: ignore[arg-type]
    assert (item.label, item.labels) == ("harbor;residential", ("harbor", "residential"))
    made = Manifest((item, Item("b", "image", label="harbor"), Item("c", "image"), Item("d", "image", label=" ; ")),
                    tmp_path, "x")  # fmt: skip
    assert [one.labels for one in made] == [("harbor", "residential"), ("harbor",), (), ()]
    assert made.labels == ("harbor", "residential")
    assert made.combinations == ("harbor", "harbor;residential")
    assert read_manifest(write_manifest(made)) == made


def test_a_single_label_stays_as_it_is() -> None:
    assert [Item("a", "image", label=one).label for one in (" beach ", "", "a, b")] == [" beach ", "", "a, b"]


def test_a_manifest_may_list_labels_and_keeps_the_fingerprint_of_its_lines(tmp_path: Path) -> None:
    """As another program writes it, or as this one wrote a label with a semicolon before there were several."""
    lines = [{"id": str(one), "modality": "image", "label": one} for one in (["sea", "dock"], "z;a")]
    digest = hashlib.sha256(b"".join(json.dumps(line, sort_keys=True).encode() for line in lines)).hexdigest()[:16]
    header = {"version": 1, "source": "x", "fingerprint": digest}
    (tmp_path / NAME).write_text("\n".join(map(json.dumps, [header, *lines])) + "\n")
    assert [item.label for item in read_manifest(tmp_path)] == ["dock;sea", "a;z"]
    (tmp_path / NAME).write_text("\n".join(map(json.dumps, [header, lines[0]])) + "\n")
    with pytest.raises(DataError, match="cut or edited"):
        read_manifest(tmp_path)
