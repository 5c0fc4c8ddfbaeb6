"""The code format: signs, words, the value and its folder, and what it refuses."""

from __future__ import annotations

import json

import numpy as np
import pytest

from dtbh.codes import HashCodes, pack, read_codes, signs, unpack, write_codes
from dtbh.data.manifest import Item
from dtbh.errors import CodesError
from dtbh.utils.files import check_place


def make_codes(n=5, bits=70, encoder="e1", folder="/media", prefix="i"):
    values = np.random.default_rng(n).normal(size=(n, bits))
    items = [
        Item(
            f"{prefix}{row}",
            "image" if row % 2 == 0 else "sound",
            f"{folder}/{prefix}{row}.bin",
            label="beach",
        )
        for row in range(n)
    ]
    return HashCodes.from_values(values, encoder=encoder, items=items)


def test_zero_counts_as_plus_one():
    assert signs([[-1.0, -0.0, 0.0, 1e-30, -1e-30, np.inf, -np.inf]]).tolist() == [
        [False, True, True, True, False, True, False]
    ]
    assert signs(np.array([-1, 0, 2], np.int8)).tolist() == [False, True, True]


def test_nan_has_no_sign():
    with pytest.raises(CodesError, match="1 of 2 values are NaN"):
        signs([0.5, float("nan")])


def test_signs_of_bits_or_text_are_refused():
    with pytest.raises(CodesError, match="found dtype bool"):
        signs([True, False])
    with pytest.raises(CodesError, match="found dtype <U1"):
        signs(["a"])


def test_words_by_hand():
    bits = np.zeros((1, 70), bool)
    bits[0, [0, 3, 63, 64, 69]] = True
    assert pack(bits).tolist() == [[1 + 8 + 2**63, 1 + 32]]


def test_words_lie_little_endian_in_the_file(tmp_path):
    bits = np.zeros((1, 8), bool)
    bits[0, 1] = True
    write_codes(HashCodes(pack(bits), 8, "e", (Item("a", "image"),)), tmp_path / "c")
    assert (tmp_path / "c" / "codes.npy").read_bytes().endswith(b"\n" + bytes([2, 0, 0, 0, 0, 0, 0, 0]))
    assert np.load(tmp_path / "c" / "codes.npy").dtype.str == "<u8"


@pytest.mark.parametrize("bits", [np.zeros((2, 8)), np.zeros(8, bool), np.zeros((2, 0), bool)])
def test_pack_refuses(bits):
    with pytest.raises(CodesError, match=r"pack needs bool \[n, K\]"):
        pack(bits)


@pytest.mark.parametrize(
    ("words", "bits", "message"),
    [
        (np.zeros((1, 1), np.int64), 8, "uint64 words, found int64"),
        (np.zeros((1, 1), np.uint64), 65, r"65 bits need words \[n, 2\], found \[1, 1\]"),
        (np.zeros(1, np.uint64), 8, r"8 bits need words \[n, 1\], found \[1\]"),
        (np.full((1, 1), 256, np.uint64), 8, "beyond bit 8"),
        (np.zeros((1, 1), np.uint64), 0, "bits from 1 on, found 0"),
        (np.zeros((1, 1), np.uint64), "8", "bits from 1 on, found '8'"),
    ],
)
def test_wrong_words_are_refused_everywhere(words, bits, message):
    with pytest.raises(CodesError, match=message):
        unpack(words, bits)
    with pytest.raises(CodesError, match=message):
        HashCodes(words, bits, "e", (Item("a", "image"),))


def test_the_value_checks_itself():
    words = np.zeros((1, 1), np.uint64)
    with pytest.raises(CodesError, match="1 codes but 2 items"):
        HashCodes(words, 8, "e", (Item("a", "image"), Item("b", "image")))
    with pytest.raises(CodesError, match="fingerprint, found ''"):
        HashCodes(words, 8, "", (Item("a", "image"),))
    with pytest.raises(CodesError, match=r"item a: path x/a\.tif is relative"):
        HashCodes(words, 8, "e", (Item("a", "image", "x/a.tif"),))
    with pytest.raises(CodesError, match=r"must be \[n, K\], found \[3\]"):
        HashCodes.from_values([1.0, 2.0, 3.0], encoder="e", items=[])


def test_words_are_read_only_and_the_callers_array_is_not():
    words = np.zeros((1, 1), np.uint64)
    codes = HashCodes(words, 8, "e", (Item("a", "image"),))
    with pytest.raises(ValueError, match="read-only"):
        codes.words[0, 0] = 1
    words[0, 0] = 0


def test_modality_selection_and_joining():
    codes = make_codes(5)
    images, sounds = codes.of("image"), codes.of("sound")
    assert (codes.modality, images.modality, sounds.modality) == ("mixed", "image", "sound")
    assert [item.id for item in images.items] == ["i0", "i2", "i4"]
    assert [item.id for item in codes.select([3, 0]).items] == ["i3", "i0"]
    assert (codes.select([3, 0]).words == codes.words[[3, 0]]).all()
    assert len(codes.select([])) == len(images.of("sound")) == 0
    both = HashCodes.concatenate([images, sounds])
    assert (both.words == codes.words[[0, 2, 4, 1, 3]]).all()
    assert [item.id for item in both.items] == ["i0", "i2", "i4", "i1", "i3"]


def test_joining_refuses_other_encoders_and_lengths():
    with pytest.raises(CodesError, match="encoder e2, the first part of e1"):
        HashCodes.concatenate([make_codes(), make_codes(encoder="e2")])
    with pytest.raises(CodesError, match="8 bits, the first part 70"):
        HashCodes.concatenate([make_codes(), make_codes(bits=8)])
    with pytest.raises(CodesError, match="nothing to concatenate"):
        HashCodes.concatenate([])


def test_a_folder_moves_with_its_media(tmp_path):
    (tmp_path / "a" / "media").mkdir(parents=True)
    codes = make_codes(folder=str(tmp_path / "a" / "media"))
    write_codes(codes, tmp_path / "a" / "codes")
    lines = (tmp_path / "a" / "codes" / "items.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["path"] == "../media/i0.bin"
    assert read_codes(tmp_path / "a" / "codes").items == codes.items
    (tmp_path / "a").rename(tmp_path / "b")
    moved = read_codes(tmp_path / "b" / "codes")
    assert moved.items[0].path == str(tmp_path / "b" / "media" / "i0.bin")


def test_a_relative_folder_gives_absolute_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_codes(make_codes(folder=str(tmp_path)), "codes")
    assert read_codes("codes").items[0].path == str(tmp_path / "i0.bin")


def test_a_link_is_replaced_and_its_paths_hold(tmp_path):
    (tmp_path / "far" / "away" / "codes").mkdir(parents=True)
    (tmp_path / "codes").symlink_to(tmp_path / "far" / "away" / "codes")
    write_codes(make_codes(folder=str(tmp_path)), tmp_path / "codes")
    assert read_codes(tmp_path / "codes").items[0].path == str(tmp_path / "i0.bin")


def test_writing_again_replaces_codes_and_nothing_else(tmp_path):
    write_codes(make_codes(3), tmp_path / "c")
    write_codes(make_codes(4), tmp_path / "c")
    assert len(read_codes(tmp_path / "c")) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["c"]
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.tif").write_bytes(b"x")
    with pytest.raises(CodesError, match="photos: the folder is in use and holds no codes"):
        write_codes(make_codes(3), tmp_path / "photos")
    with pytest.raises(CodesError, match=r"a\.tif: a file stands here"):
        write_codes(make_codes(3), tmp_path / "photos" / "a.tif")
    with pytest.raises(CodesError, match=r"a\.tif: a file stands here"):
        check_place(tmp_path / "photos" / "a.tif" / "deeper" / "c", "meta.json", "codes")
    assert (tmp_path / "photos" / "a.tif").read_bytes() == b"x"


def test_writing_refuses_ids_twice_and_text_that_is_no_utf8(tmp_path):
    codes = make_codes(3)
    with pytest.raises(CodesError, match="1 ids stand more than once, the first is i1"):
        write_codes(codes.select([0, 1, 1]), tmp_path / "c")
    odd = HashCodes(codes.words[:1], codes.bits, "e", (Item("a", "image", "/m/\udcff.tif"),))
    with pytest.raises(CodesError, match=r"item 'a': path '/m/\\udcff\.tif' is not UTF-8"):
        write_codes(odd, tmp_path / "c")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["codes.npy", "items.jsonl"])
@pytest.mark.parametrize("damage", ["cut", "altered", "missing"])
def test_damage_is_named(tmp_path, name, damage):
    path = write_codes(make_codes(), tmp_path / "c") / name
    data = path.read_bytes()
    if damage == "missing":
        path.unlink()
        expected = "can't be read"
    else:
        path.write_bytes(data[:-3] if damage == "cut" else data[:-3] + bytes([data[-3] ^ 1]) + data[-2:])
        expected = "cut or altered: SHA-256 [0-9a-f]{16}, wanted [0-9a-f]{16}"
    with pytest.raises(CodesError, match=f"{name}: {expected}") as caught:
        read_codes(tmp_path / "c")
    assert "\n" not in str(caught.value)


def edit_meta(folder, **changes):
    meta = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps({**meta, **changes}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 2}, r"meta\.json: version 2, this dtbh reads 1; update dtbh"),
        ({"bits": 64}, r"64 bits need words"),
        ({"count": 6}, r"says 6 codes, found 5"),
        ({"encoder": 5}, r"fingerprint, found 5"),
        ({"sha256": {}}, r"holds no checksums"),
    ],
)
def test_meta_that_does_not_fit(tmp_path, changes, message):
    edit_meta(write_codes(make_codes(), tmp_path / "c"), **changes)
    with pytest.raises(CodesError, match=message):
        read_codes(tmp_path / "c")


def test_meta_that_is_no_json(tmp_path):
    (write_codes(make_codes(), tmp_path / "c") / "meta.json").write_text("{")
    with pytest.raises(CodesError, match=r"meta\.json: can't be read as JSON"):
        read_codes(tmp_path / "c")
    with pytest.raises(CodesError, match="none: no codes here"):
        read_codes(tmp_path / "none")


def test_no_pickle_is_loaded(tmp_path):
    import hashlib

    folder = write_codes(make_codes(), tmp_path / "c")
    np.save(folder / "codes.npy", np.array([{"a": 1}], object), allow_pickle=True)
    meta = json.loads((folder / "meta.json").read_text())
    meta["sha256"]["codes.npy"] = hashlib.sha256((folder / "codes.npy").read_bytes()).hexdigest()
    (folder / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(CodesError, match="allow_pickle=False"):
        read_codes(folder)
