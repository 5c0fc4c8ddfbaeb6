"""An archive that grows while others read it, and what is said of it."""

from __future__ import annotations

import json
import multiprocessing
import threading
from dataclasses import replace

import numpy as np
import pytest

from dtbh.cli.main import main
from dtbh.errors import CodesError, ConfigError, DtbhError
from dtbh.index.archive.archive import create_archive, open_archive
from dtbh.utils.files import file_lock
from tests.index.made import make_codes


@pytest.fixture
def archive(tmp_path):
    return create_archive(tmp_path / "archive", make_codes(), model=tmp_path / "runs" / "x")


def state(archive):
    """Everything that an open archive shows."""
    rows = archive.rows()
    beaches = archive.rows({"label": "beach"}).tolist()
    return archive.at(rows).words.tolist(), archive.items(rows), archive.labels(), archive.counts(), beaches


def test_readers_keep_what_they_opened_until_they_look_again(archive):
    reader = open_archive(archive.path)
    before = state(reader)
    more = make_codes(30, seed=1, prefix="n")
    for change in (
        lambda: archive.add(more),
        lambda: archive.remove(["i5", "i6", "n0"]),
        lambda: archive.add(
            replace(more.select([0]), items=(replace(more.items[0], label="new", fields={"new": "x"}),))
        ),
        archive.compact,
        lambda: archive.describe(lambda codes: [{"new": "y"} for _ in codes.items]),
        lambda: archive.add(make_codes(9, seed=2, prefix="m")),
        lambda: create_archive(archive.path, make_codes(3, prefix="o")),
    ):
        change()
        assert state(reader) == before
        assert reader.item("i5").id == "i5"
        assert reader.info().items == 60
        for word in ("n0", "m0"):
            with pytest.raises(CodesError, match="no item has the id"):
                reader.item(word)
        with pytest.raises(ConfigError, match="unknown filter field 'new'"):
            reader.rows({"new": "x"})
    reader.refresh()
    assert [item.id for item in reader.items(reader.rows())] == ["o0", "o1", "o2"]


def test_looking_again_keeps_what_did_not_change(archive):
    view = archive._view()
    archive.refresh()
    assert archive._view() is view
    other = open_archive(archive.path)
    other.remove(["i0"])
    archive.refresh()
    assert archive._view() is not view
    assert len(archive) == 59


def test_compacting_counts_rows_anew_and_gives_back_the_place(archive):
    archive.add(make_codes(5, prefix="n"))
    archive.remove(["i0", "i59", "n4"])
    left = archive.items(archive.rows())
    archive.compact()
    assert archive.items(archive.rows()) == left
    assert archive.rows().tolist() == list(range(62))
    assert archive.info().code_bytes == 62 * 8
    assert sorted(path.name for path in archive.path.iterdir()) == ["archive.json", "codes-1.bin", "items-1.sqlite"]
    archive.verify()
    archive.compact()
    assert sorted(path.name for path in archive.path.iterdir()) == ["archive.json", "codes-2.bin", "items-2.sqlite"]
    assert archive.model is not None


def test_compacting_refuses_what_was_altered(archive):
    path = archive.path / "codes.bin"
    data = bytearray(path.read_bytes())
    data[3] ^= 1
    path.write_bytes(data)
    with pytest.raises(CodesError, match=r"codes\.bin: codes 0 to 59 were altered"):
        archive.compact()
    assert sorted(p.name for p in archive.path.iterdir()) == ["archive.json", "codes.bin", "items.sqlite"]


def test_a_second_writer_gets_one_clear_line(archive):
    with file_lock(archive.path, "adding"):
        for write in (lambda: archive.add(make_codes(1, prefix="n")), lambda: archive.remove(["i0"]), archive.compact,
                      lambda: create_archive(archive.path, make_codes(1))):  # fmt: skip
            with pytest.raises(DtbhError, match="another process is adding, removing or compacting here; wait"):
                write()
    assert len(open_archive(archive.path)) == 60


def test_an_archive_that_is_not_there_is_named(archive, tmp_path):
    archive.path.rename(tmp_path / "elsewhere")
    with pytest.raises(CodesError, match="no archive here"):
        archive.add(make_codes(1, prefix="n"))


def _read(path, stop, wrong):
    """Open, search and count for as long as the others write."""
    queries = make_codes(2, seed=9, prefix="q")
    looked = 0
    while not stop.is_set() or not looked:
        archive = open_archive(path)
        ids = [item.id for item in archive.items(archive.rows())]
        whole = len(ids) == len(set(ids)) == len(archive) and len(ids) % 10 == 0
        hits = archive.search(queries, 5, find="any", where={"sensor": "S2"})
        if not whole or any(item.fields["sensor"] != "S2" for items in hits.items for item in items):
            wrong.value += 1
        looked += 1
        archive.refresh()
    wrong.value += looked < 2


def test_others_read_while_it_grows(archive):
    context = multiprocessing.get_context("fork")
    stop, wrong = context.Event(), context.Value("i", 0)
    readers = [context.Process(target=_read, args=(archive.path, stop, wrong)) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        for round in range(12):  # always by tens, so that a reader sees when it meets half a change
            archive.add(make_codes(20, seed=round, prefix=f"r{round}-"))
            archive.remove([f"r{round}-{n}" for n in range(10)])
            if round % 4 == 3:
                archive.compact()
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert [reader.exitcode for reader in readers] == [0, 0]
    assert wrong.value == 0
    assert len(archive) == 60 + 12 * 10
    archive.verify()


def test_one_object_may_grow_while_threads_search_it(archive):
    queries, stop, seen = make_codes(2, seed=9, prefix="q"), threading.Event(), list[int]()

    def ask():
        while not stop.is_set() or not seen:
            result = archive.search(queries, 200, find="any")
            assert (np.diff(result.distances, axis=1) >= 0).all()
            seen.append(result.rows.shape[1])

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for round in range(8):
        archive.add(make_codes(10, seed=round, prefix=f"r{round}-"))
    stop.set()
    for thread in threads:
        thread.join()
    assert set(seen) <= {60 + 10 * n for n in range(9)}


def lines(capsys, *arguments):
    assert main([str(argument) for argument in arguments]) == 0
    return capsys.readouterr().out


def test_info_for_people_and_for_programs(archive, capsys):
    archive.remove(["i1", "i2"])
    said = lines(capsys, "info", archive.path, "--verify")
    assert "items     58 (29 images, 29 sounds)" in said
    assert "removed   2 rows, whose place dtbh compact gives back" in said
    assert "fields    sensor, écluse" in said
    assert "verified" in said
    assert all(len(line) <= 80 for line in said.splitlines() if "/" not in line)
    found = json.loads(lines(capsys, "info", archive.path, "--json"))
    labels = [item.label for item in archive.items(archive.rows())]
    assert found["labels"] == {name: labels.count(name) for name in ("beach", "river")}
    assert (found["items"], found["removed"], found["segments"], found["bits"]) == (58, 2, 1, 20)
    assert found["modalities"] == {"image": 29, "sound": 29}
    assert found["code_bytes"] == 480


def test_remove_and_compact_by_the_command_line(archive, capsys):
    assert "2 items removed, 58 left" in lines(capsys, "remove", archive.path, "i1", "i2")
    archive.refresh()
    count = len(archive.rows({"label": "beach", "sensor": "S2"}))
    said = lines(capsys, "remove", archive.path, "--where", "label=beach", "--where", "sensor=S2")
    assert f": {count} items removed, {58 - count} left" in said
    archive.refresh()
    assert archive.rows({"label": "beach", "sensor": "S2"}).size == 0
    assert "0 items removed" in lines(capsys, "remove", archive.path, "--where", "label=nowhere")
    removed = 60 - len(archive)
    assert f"{removed} removed rows dropped" in lines(capsys, "compact", archive.path)
    assert json.loads(lines(capsys, "info", archive.path, "--json"))["removed"] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["remove", "ARCHIVE"], "say what to remove: ids, or --where field=value, not both"),
        (["remove", "ARCHIVE", "i1", "--where", "label=beach"], "not both"),
        (["remove", "ARCHIVE", "i1", "nobody"], "no item has the id 'nobody' (1 unknown); nothing was removed"),
        (["remove", "ARCHIVE", "--where", "label"], "wanted field=value, as in --where label=harbor"),
        (["remove", "ARCHIVE", "--where", "label=a", "--where", "label=b"], "label was given already, as a"),
        (["remove", "ARCHIVE", "--where", "colour=red"], "unknown filter field 'colour'"),
        (["info", "ARCHIVE/nowhere"], "no archive here"),
        (["compact", "ARCHIVE/nowhere"], "no archive here"),
    ],
)
def test_mistakes_are_one_clear_line(archive, capsys, arguments, message):
    assert main([argument.replace("ARCHIVE", str(archive.path)) for argument in arguments]) == 2
    said = capsys.readouterr().err.strip()
    assert message in said
    assert "\n" not in said
    assert len(open_archive(archive.path)) == 60
