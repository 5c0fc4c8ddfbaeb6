"""Data as people bring them: Parquet, Hugging Face data sets, WebDataset tars, class folders with captions."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import tarfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from dtbh.cli.main import main
from dtbh.data.manifest import Item, Manifest, read_manifest
from dtbh.data.sources import arrow, webdataset
from dtbh.data.sources.folders import folders
from dtbh.data.sources.table import table
from dtbh.errors import DataError, DtbhError
from dtbh.stages.prepare import prepare
from tests.data.test_sources import picture, problems

pa = pytest.importorskip("pyarrow", reason="Parquet and Arrow need the extra tables")
pq = pytest.importorskip("pyarrow.parquet")


def image_bytes(seed: int) -> bytes:
    out = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def sound_bytes(seed: int) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, np.random.default_rng(seed).uniform(-0.5, 0.5, 400), 8000, format="WAV")
    return out.getvalue()


ROWS = [
    {"image": {"bytes": image_bytes(0), "path": "beach 07.png"}, "audio": {"bytes": sound_bytes(0), "path": None},
     "label": 0, "caption": "Sand .", "id": 7, "sensor": "S2"},
    {"image": {"bytes": image_bytes(0), "path": "beach 07.png"}, "audio": {"bytes": sound_bytes(1), "path": None},
     "label": 0, "caption": "More sand .", "id": 8, "sensor": "S2"},
    {"image": {"bytes": image_bytes(1), "path": None}, "audio": None,
     "label": 1, "caption": "Water .", "id": 9, "sensor": None},
]  # fmt: skip
FEATURES = {"label": {"names": ["beach", "river"], "_type": "ClassLabel"},
            "image": {"_type": "Image"}, "audio": {"_type": "Audio", "sampling_rate": 8000}}  # fmt: skip


def told(manifest: Manifest) -> list[tuple[str | None, ...]]:
    """What does not depend on the digests in names."""
    return [(i.modality, i.label, i.split, i.transcript, i.fields.get("sensor")) for i in manifest]


def saved(folder: Path, rows: list[dict[str, Any]] = ROWS) -> Path:
    """As `Dataset.save_to_disk` leaves it."""
    folder.mkdir(parents=True)
    made = pa.Table.from_pylist(rows)
    with (
        pa.OSFile(str(folder / "data-00000-of-00001.arrow"), "wb") as file,
        pa.ipc.new_stream(file, made.schema) as out,
    ):
        out.write_table(made, max_chunksize=2)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}))
    (folder / "dataset_info.json").write_text(json.dumps({"features": FEATURES}))
    return folder


def test_a_saved_data_set_and_its_parquet_files_are_the_same_items(tmp_path: Path) -> None:
    saved(tmp_path / "set" / "train")
    saved(tmp_path / "set" / "validation", [{**ROWS[2], "image": {"bytes": image_bytes(5), "path": "x"}}])
    (tmp_path / "set" / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "validation"]}))
    made = prepare("hf", tmp_path / "a", path=tmp_path / "set").manifest
    assert told(made) == [
        ("image", "beach", "train", None, "S2"), ("image", "river", "train", None, None),
        ("image", "river", "val", None, None),
        ("sound", "beach", "train", "Sand .", "S2"), ("sound", "beach", "train", "More sand .", "S2"),
        ("sound", "river", "train", "Water .", None), ("sound", "river", "val", "Water .", None),
    ]  # fmt: skip
    beach = made.images[0]
    assert beach.id.startswith("beach_07-")
    assert [item.pair for item in made.sounds[:2]] == [beach.id, beach.id] == [beach.pair] * 2
    assert made.file(beach).read_bytes() == image_bytes(0)
    assert len(list((tmp_path / "a" / "media").iterdir())) == 5

    (tmp_path / "hub" / "data").mkdir(parents=True)
    schema = pa.Table.from_pylist(ROWS).schema
    noted = schema.with_metadata({"huggingface": json.dumps({"info": {"features": FEATURES}})})
    pq.write_table(pa.Table.from_pylist(ROWS, noted), tmp_path / "hub" / "data" / "train-00000-of-00001.parquet")
    again = prepare("hf", tmp_path / "b", path=tmp_path / "hub").manifest
    assert told(again) == [one for one in told(made) if one[2] == "train"]


def test_a_second_run_changes_nothing_and_another_one_clears_up(tmp_path: Path) -> None:
    path = tmp_path / "pairs.parquet"
    rows = [{"image": one["image"]["bytes"], "sound": one["audio"] and one["audio"]["bytes"]} for one in ROWS]
    pq.write_table(pa.Table.from_pylist(rows), path)
    out = tmp_path / "out"
    first = prepare("table", out, path=path)
    files = {file: file.stat().st_mtime_ns for file in (out / "media").iterdir()}
    assert (first.changed, len(files), len(first.manifest)) == (True, 4, 4)
    assert not prepare("table", out, path=path).changed
    assert {file: file.stat().st_mtime_ns for file in (out / "media").iterdir()} == files
    (out / "media" / "notes.txt").write_text("of one's own")
    pq.write_table(pa.Table.from_pylist(rows[2:]), path)
    assert len(prepare("table", out, path=path).manifest) == 1
    assert len(list((out / "media").iterdir())) == 2
    rows[2]["image"] = image_bytes(9)[:80]
    pq.write_table(pa.Table.from_pylist(rows), path)
    with pytest.raises(DataError, match="1 problem"):
        prepare("table", out, path=path)
    assert len(list((out / "media").iterdir())) == 2
    with pytest.raises(DataError, match="1 problem"):
        prepare("table", tmp_path / "new", path=path)
    assert not (tmp_path / "new").exists()
    assert len(read_manifest(out)) == 1


def test_a_parquet_table_of_paths_is_the_csv(tmp_path: Path) -> None:
    rows = [{"image": "a.png", "sound": "a.wav", "label": "beach", "depth": 2}, {"image": "b.png", "depth": None}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    (tmp_path / "t.csv").write_text("image,sound,label,depth\na.png,a.wav,beach,2\nb.png,,,\n")
    assert table(tmp_path / "t.parquet") == table(tmp_path / "t.csv")
    with pa.OSFile(str(tmp_path / "t.arrow"), "wb") as file:
        made = pa.Table.from_pylist(rows)
        with pa.ipc.new_file(file, made.schema) as out:
            out.write_table(made)
    assert table(tmp_path / "t.arrow") == table(tmp_path / "t.csv")


def test_texts_that_a_parquet_file_does_not_mark_as_texts(tmp_path: Path) -> None:
    """Spark and Impala write them so."""
    row = {"image": "BM/á.PNG", "sound": "a.wav", "label": "bëach", "transcript": "Sand .", "site": "north"}
    made: list[dict[str, Any]] = [row, {**row, "image": "b.png", "sound": None, "label": None, "transcript": None}]
    plain = pa.Table.from_pylist(made)
    bytes_ = pa.schema([(name, pa.binary()) for name in plain.column_names])
    pq.write_table(plain, tmp_path / "plain.parquet")
    pq.write_table(plain.cast(bytes_), tmp_path / "bytes.parquet")
    assert table(tmp_path / "bytes.parquet") == table(tmp_path / "plain.parquet")
    assert len(table(tmp_path / "plain.parquet")) == 3
    said = [{"image": b"a.png", "transcript": [b"One .", b"Two ."], "mask": b"\xff\x00"}]
    pq.write_table(pa.Table.from_pylist(said), tmp_path / "t.parquet")
    assert [(i.transcript, i.fields) for i in table(tmp_path / "t.parquet")] == [
        (None, {}), ("One .", {}), ("Two .", {}),
    ]  # fmt: skip


def test_a_column_that_stands_twice_in_parquet(tmp_path: Path) -> None:
    made = pa.table([["a.png"], ["beach"], ["river"]], names=["image", "label", "label"])
    pq.write_table(made, tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"t\.parquet: column 'label' stands twice"):
        table(tmp_path / "t.parquet")


def test_nested_columns_that_are_no_part_of_a_table_are_left_out(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    row = {"image": "a.png", "label": "beach", "box": [[1.5, 2.0]], "source": {"tile": 3}, "height": Decimal("12.50")}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "t.parquet")
    (item,) = table(tmp_path / "t.parquet")
    assert (item.label, item.fields) == ("beach", {"height": "12.50"})


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ([{"img": "a.png"}], r"no column image or sound; found img \(string\); dtbh prepare hf"),
        ([{"image": 3}], "row 1: image is int; wanted a path, or the bytes of a file"),
        ([{"image": b"\x00\x01no picture"}], "row 1: image begins with b'.*', as no image does"),
        ([{"image": b""}], "row 1: image has 0 bytes"),
        ([{"image": b"a.txt"}], "row 1: image begins with b'a.txt', as no image does"),
        (
            [{"image": b"a.png", "label": b"b\xebach"}],
            r"row 1: label begins with b'b\\xebach', which is no text in UTF",
        ),
        ([{"image": sound_bytes(0)}], "begins with b'RIFF"),
        ([{"image": ["a.png", "b.png"]}], "row 1: image is list; wanted a path"),
        ([{"image": {"name": "a.png"}}], r"column 'image' is struct<name: string>, of which it can't be told what"),
        (
            [{"image": "a.png", "label": {"id": 3, "name": "beach"}}],
            r"column 'label' is struct<id: int64, name: string>",
        ),
        ([{"image": "a.png", "transcript": [{"raw": "Sand ."}]}], r"column 'transcript' is list<"),
    ],
)
def test_bad_parquet(tmp_path: Path, rows: list[dict[str, Any]], found: str) -> None:
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    with pytest.raises(DtbhError, match=found):
        prepare("table", tmp_path / "out", path=tmp_path / "t.parquet")
    assert not (tmp_path / "out").exists()


def test_what_is_no_data_set_of_hugging_face(tmp_path: Path) -> None:
    def said(**files: str) -> str:
        for name, text in files.items():
            (tmp_path / f"{name}.json").write_text(text)
        with pytest.raises(DataError) as caught:
            prepare("hf", tmp_path / "out", path=tmp_path)
        return str(caught.value)

    assert "wanted state.json or dataset_dict.json" in said()
    assert "can't be read as JSON" in said(state="{")
    assert "wanted an object, found list" in said(state="[]")
    assert "no list `_data_files`" in said(state="{}")
    assert "'../x.arrow', which does not lie in it" in said(state='{"_data_files": [{"filename": "../x.arrow"}]}')
    (tmp_path / "device.arrow").symlink_to("/dev/null")
    assert "not a regular file, a table wanted" in said(state='{"_data_files": [{"filename": "device.arrow"}]}')
    assert "data.arrow: no such table" in said(state='{"_data_files": [{"filename": "data.arrow"}]}')
    assert "no list `splits`" in said(dataset_dict='{"splits": 3}')
    assert "'..', which does not lie in it" in said(dataset_dict='{"splits": [".."]}')


def tar(path: Path, members: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as file:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return path


SAMPLES = {
    "000.png": image_bytes(0), "000.wav": sound_bytes(0), "000.cls": b"beach", "000.txt": b"Sand .\n",
    "001.left.png": image_bytes(1), "001.right.png": image_bytes(2), "001.wav": sound_bytes(1),
    "001.json": b'{"label": "river", "caption": "Water .", "speaker": "eva", "sensor": "S2", "image": "no", "id": 3}',
    "../../002.png": image_bytes(3), "../../002.0.txt": b"One .", "../../002.1.txt": b"Two .", "README": b"no sample",
}  # fmt: skip


def test_webdataset(tmp_path: Path) -> None:
    shards = tmp_path / "in" / "shards"
    tar(shards / "train-000.tar", {name: data for name, data in SAMPLES.items() if name < "001"})
    tar(shards / "test-000.tar", {name: data for name, data in SAMPLES.items() if name >= "001"})
    items = prepare("webdataset", tmp_path / "out", path=shards).manifest
    assert [(i.id.rpartition("-")[0], i.label, i.split, i.transcript, i.speaker, i.fields) for i in items] == [
        ("001_left", "river", "test", None, None, {"sensor": "S2"}),
        ("001_right", "river", "test", None, None, {"sensor": "S2"}),
        ("000", "beach", "train", None, None, {}),
        ("002", None, "train", None, None, {}),
        ("001", "river", "test", "Water .", "eva", {"sensor": "S2"}),
        ("000", "beach", "train", "Sand .", None, {}),
        ("002", None, "train", "One .", None, {}),
        ("002", None, "train", "Two .", None, {}),
    ]
    assert len({i.pair for i in items if "river" in str(i.label)}) == 1
    assert {file.parent for file in tmp_path.rglob("*.png")} == {tmp_path / "out" / "media"}


def test_null_and_nan_in_a_sample_say_nothing(tmp_path: Path) -> None:
    said = b'{"caption": ["a", null, "b"], "label": [null, 5, NaN], "height": NaN, "speaker": null, "depth": 2.5}'
    none = b'{"transcript": [null], "text": "", "caption": "One .", "label": [null]}'
    path = tar(tmp_path / "x.tar", {"0.png": image_bytes(0), "0.json": said, "1.png": image_bytes(1), "1.json": none})
    items = prepare("webdataset", tmp_path / "out", path=path).manifest
    assert [(i.label, i.transcript, i.fields) for i in items] == [
        ("5", None, {"depth": "2.5"}), (None, None, {}), ("5", "a", {"depth": "2.5"}), ("5", "b", {"depth": "2.5"}),
        (None, "One .", {}),
    ]  # fmt: skip


def test_the_files_of_a_sample_stand_together(tmp_path: Path) -> None:
    """Apart they would be items of which nobody knows that they belong together."""
    path = tar(tmp_path / "x.tar", dict(sorted(SAMPLES.items(), key=lambda member: member[0][::-1])))
    with pytest.raises(DataError) as caught:
        prepare("webdataset", tmp_path / "out", path=path)
    assert f"{path}: '000.cls' stands apart from the other files of sample '000'" in str(caught.value)
    assert "tar --sort=name" in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_packed_tars_and_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = tar(tmp_path / "x.tar", SAMPLES).read_bytes()
    made = [
        prepare("webdataset", tmp_path / f"out{n}", path=tmp_path / "x.tar").manifest
        for n, pack in enumerate((lambda data: data, gzip.compress, bz2.compress, lzma.compress))
        if (tmp_path / "x.tar").write_bytes(pack(plain))
    ]
    assert len(made) == 4
    assert all(one.items == made[0].items for one in made)
    monkeypatch.setattr(webdataset, "FLOOR", 0)
    tar(tmp_path / "x.tar", {"a.txt": b"x", "a.bin": b"\0" * (1 << 20)})
    (tmp_path / "x.tar").write_bytes(gzip.compress((tmp_path / "x.tar").read_bytes()))
    with pytest.raises(DataError, match="unpacks to more than 200 times its size"):
        prepare("webdataset", tmp_path / "out", path=tmp_path / "x.tar")
    monkeypatch.setattr(arrow, "FLOOR", 0)
    pq.write_table(pa.table({"image": ["a" * 1000] * 100_000}), tmp_path / "t.parquet", use_dictionary=False,
                   compression="zstd")  # fmt: skip
    with pytest.raises(DataError, match="times its size; refused as a bomb"):
        table(tmp_path / "t.parquet")


@pytest.mark.parametrize(
    ("members", "found"),
    [
        ({"a.json": b"[1]"}, "sample 'a': .json can't be read (wanted an object, found list)"),
        ({"a.json": b"{"}, "sample 'a': .json can't be read"),
        (
            {"a.json": b'{"caption": true}'},
            "sample 'a': .json can't be read (caption is bool; wanted a text, or a list",
        ),
        ({"a.json": b'{"text": ["a", 3]}'}, "sample 'a': .json can't be read (text is int; wanted a text, or a list"),
        ({"a.txt": b"\xff"}, "sample 'a': .txt can't be read"),
        ({"a.png": b""}, "sample 'a': image 'a.png' has 0 bytes"),
        ({"a.png": b"no picture"}, "sample 'a': image 'a.png': no image of a type that can be read"),
        ({"a.txt": b"x" * (1 << 21)}, "'a.txt' has 2097152 bytes; at most 1048576 are taken"),
        ({"a.txt": b"a", "b.txt": b"b", "c.c": b""}, "sample 'a': names no image and no sound; found transcript 'a'"),
        ({"x": b""}, "no image and no sound in it"),
    ],
)
def test_bad_tars(tmp_path: Path, members: dict[str, bytes], found: str) -> None:
    with pytest.raises(DataError) as caught:
        prepare("webdataset", tmp_path / "out", path=tar(tmp_path / "x.tar", members))
    assert found in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_link_in_a_tar_is_not_followed(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as file:
        info = tarfile.TarInfo("a.txt")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        file.addfile(info)
    with pytest.raises(DataError, match=r"'a\.txt' is a link"):
        prepare("webdataset", tmp_path / "out", path=tmp_path / "x.tar")


# --- class folders with captions


def test_class_folders_of_splits_with_captions(tmp_path: Path) -> None:
    for name in ("train/beach/a.png", "train/river/b.png", "valid/beach/c.png", "test/river/d.png"):
        picture(tmp_path / "set" / name)
    (tmp_path / "captions.csv").write_text(
        ",filename,captions\n"
        '0,train/beach/a.png,"[\'Sand , and sea .\' \'It\\\'s\n a beach .\']"\n'
        '1,b.png,"[""River ."", \'Water .\']"\n'
        "2,valid\\beach\\c.png,Plain [sand] .\n"
        "3,d.png,.\n"
    )  # fmt: skip
    items = folders(tmp_path / "set", captions=tmp_path / "captions.csv")
    assert [(item.id, item.label, item.split, item.pair is None) for item in items[:4]] == [
        ("test/river/d.png", "river", "test", True), ("train/beach/a.png", "beach", "train", False),
        ("train/river/b.png", "river", "train", False), ("valid/beach/c.png", "beach", "val", False),
    ]  # fmt: skip
    assert [(item.id, item.transcript, item.label, item.split) for item in items[4:]] == [
        ("train/beach/a.pngS1", "Sand , and sea .", "beach", "train"),
        ("train/beach/a.pngS2", "It's a beach .", "beach", "train"),
        ("train/river/b.pngS1", "River .", "river", "train"), ("train/river/b.pngS2", "Water .", "river", "train"),
        ("valid/beach/c.pngS1", "Plain [sand] .", "beach", "val"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("image;caption_1;caption_2\na.png;One .;Two .\n", ["One .", "Two ."]),
        ("image,caption\na.png,One .\na.png,Two .\n", ["One .", "Two ."]),
        ("name,caption\na.png,One .\n", "wanted a column image or filename or file_name and one caption"),
        ("image,caption\nz.png,One .\n", "line 2: z.png is not among the images"),
        ("image,caption\n,One .\n", "line 2: its image is empty"),
        ("image,caption\nb.png,One .\n", "b.png fits several images: r/b.png, s/b.png; name its folder"),
        ('image,caption\n"a.png,One .\n', "can't be read as a table after line 1"),
    ],
)
def test_caption_tables(tmp_path: Path, text: str, found: str | list[str]) -> None:
    for name in ("r/a.png", "r/b.png", "s/b.png"):
        picture(tmp_path / "set" / name)
    path = tmp_path / "captions.csv"
    path.write_text(text)
    if isinstance(found, str):
        assert found in problems(lambda: folders(tmp_path / "set", captions=path))
        assert "no such table of captions" in problems(lambda: folders(tmp_path / "set", captions=tmp_path / "x"))
    else:
        said = folders(tmp_path / "set", captions=path)[3:]
        assert said == [Item(f"r/a.pngS{n}", "sound", None, "r", "r/a.png", transcript=t)
                        for n, t in enumerate(found, start=1)]  # fmt: skip


def test_without_pyarrow_it_is_said_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pq.write_table(pa.table({"image": ["a.png"]}), tmp_path / "t.parquet")

    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(arrow, "import_module", missing)
    assert main(["prepare", "table", str(tmp_path / "t.parquet"), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert said == (
        "dtbh: reading Parquet and Arrow files needs pyarrow, which is not installed: pip install 'dtbh[tables]'\n"
    )
