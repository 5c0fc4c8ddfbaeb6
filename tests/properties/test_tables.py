"""Tables in any spelling say what the csv module reads in them; damaged files end in one error, whatever the damage."""

from __future__ import annotations

import csv
import io
import tarfile
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dtbh.data.sources.extracted import Extracted
from dtbh.data.sources.huggingface import hf
from dtbh.data.sources.table import table
from dtbh.data.sources.webdataset import webdataset
from dtbh.errors import DataError, DtbhError
from tests.reference.tables import items_of_table

ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "cp1252")
TEXT = st.text(st.sampled_from("ab ,;|\"'äß.\n\t"), min_size=1, max_size=8).map(str.strip).filter(bool)
IMAGES, SOUNDS = (
    st.sampled_from(["", "a.png", "ü/b.png", "c,d;e.png"]),
    st.sampled_from(["", "1.wav", "2|x.wav", "3.wav"]),
)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(IMAGES, SOUNDS).filter(any), min_size=1, max_size=6),
    st.fixed_dictionaries(dict.fromkeys(("1.wav", "2|x.wav", "3.wav"), TEXT)),
    st.sampled_from(ENCODINGS), st.sampled_from(",;\t|"), st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.sampled_from(["\r\n", "\n"]),
)  # fmt: skip
def test_a_table_says_what_the_csv_module_reads(
    pairs: list[tuple[str, str]], said: dict[str, str], encoding: str, separator: str, quoting: int, ending: str
) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=separator, quoting=quoting, lineterminator=ending)  # type: ignore[arg-type]
    writer.writerow(["image", "sound", "label", "transcript"])
    writer.writerows([image, sound, "beach", said.get(sound, "")] for image, sound in pairs)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.csv"
        path.write_bytes(out.getvalue().encode(encoding))
        found = [(item.id, item.modality, item.label, item.pair, item.transcript) for item in table(path)]
        assert found == items_of_table(path, encoding, separator)


def test_the_reference_connects_by_way_of_others(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("image,sound,label,transcript\na,1,,\nb,2,,\nb,1,,\nc,,,\n,3,,\n")
    pairs = {id_: pair for id_, _, _, pair, _ in items_of_table(tmp_path / "t.csv", "utf-8", ",")}
    assert pairs == {"a": "a", "b": "a", "c": None, "1": "a", "2": "a", "3": None}


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=200), st.sampled_from([".csv", ".jsonl", ".parquet", ".arrow"]))
def test_any_bytes_are_a_table_or_one_error(data: bytes, suffix: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"t{suffix}"
        path.write_bytes(data)
        with pytest.raises(DataError):
            table(path)


def packed() -> dict[str, bytes]:
    """A small file of each kind."""
    pa = pytest.importorskip("pyarrow", reason="Parquet and Arrow need the extra tables")
    from pyarrow import parquet

    picture = b"\x89PNG\r\n\x1a\n" + bytes(range(64))
    made = pa.table(
        {"image": [{"bytes": picture, "path": "a.png"}] * 3, "caption": ["sand", "sea", None], "label": [0, 1, 1]}
    )
    files = {name: io.BytesIO() for name in ("parquet", "file.arrow", "stream.arrow", "tar")}
    parquet.write_table(made, files["parquet"])
    with pa.ipc.new_file(files["file.arrow"], made.schema) as writer:
        writer.write_table(made)
    with pa.ipc.new_stream(files["stream.arrow"], made.schema) as writer:
        writer.write_table(made)
    with tarfile.open(fileobj=files["tar"], mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in {"a.png": picture, "a.txt": b"sand", "a.ü.json": b'{"label": "x"}'}.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return {name: file.getvalue() for name, file in files.items()}


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(["parquet", "file.arrow", "stream.arrow", "tar"]),
    cut=st.floats(0, 1) | st.just(1.0),
    damage=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6),
)
def test_damaged_files_are_read_or_refused(
    intact: dict[str, bytes], kind: str, cut: float, damage: list[tuple[float, int]]
) -> None:
    data = bytearray(intact[kind][: int(cut * len(intact[kind]))])
    for place, value in damage:
        if data:
            data[int(place * len(data))] = value
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"x.{kind}"
        path.write_bytes(data)
        media = Extracted(Path(folder) / "media")
        with suppress(DtbhError):  # and nothing else
            for item in (webdataset if kind == "tar" else hf)(path, media):
                assert item.path is None or Path(item.path).parent == media.folder


@pytest.fixture(scope="module")
def intact() -> dict[str, bytes]:
    return packed()


def test_the_damage_is_done_to_what_can_be_read(intact: dict[str, bytes], tmp_path: Path) -> None:
    for kind, data in intact.items():
        path = tmp_path / f"x.{kind}"
        path.write_bytes(data)
        items = (webdataset if kind == "tar" else hf)(path, Extracted(tmp_path / "media"))
        assert len(items) == (2 if kind == "tar" else 4), kind
