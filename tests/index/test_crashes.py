"""What a killed writer, a full disk and a damaged file leave: the archive as it was, or the file named."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from dtbh.codes import HashCodes
from dtbh.errors import CodesError, DtbhError
from dtbh.index.archive.archive import create_archive, open_archive
from tests.index.made import make_codes

Ids = list[str]
UNSEEN = {"codes.bin": 1, "vectors.bin": 1, "items.sqlite": 60, "archive.json": 30}
"""Of 120 bytes that were altered in each file, fewer than so many make no difference."""
DIM = 16  # an archive that keeps vectors has one file more, which is as long as the codes at least


@pytest.fixture(params=[None, DIM], ids=["codes", "vectors"])
def path(request, tmp_path):
    return create_archive(tmp_path / "archive", make_codes(300, dim=request.param)).path


def more(path: Path, count: int, **what) -> HashCodes:
    """Codes that may be added."""
    return make_codes(count, dim=open_archive(path).vector_dim, **what)


def shown(path: Path, *, read: bool = True) -> Ids:
    """The ids that an archive shows; all of it is read and compared with its checksums. It is closed again."""
    archive = open_archive(path)
    if read:
        archive.verify()
    return [item.id for item in archive.items(archive.rows())]


def in_child(do: Callable[[], object]) -> tuple[int, int]:
    """Fork a process that says when it begins; its id, and where it says so."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        os.write(write, b"x")
        try:
            do()
        except BaseException:
            os._exit(1)
        os._exit(0)
    os.close(write)
    return child, read


def killed(do: Callable[[], object], after: float) -> bool:
    """Do it in a child process and kill that after some seconds; whether it was killed before it ended."""
    child, read = in_child(do)
    os.read(read, 1)
    os.close(read)
    time.sleep(after)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the child failed"
    return os.WIFSIGNALED(status)


def took(do: Callable[[], object]) -> float:
    start = time.perf_counter()
    do()
    return time.perf_counter() - start


def test_a_kill_at_any_moment_loses_nothing_and_leaves_nothing(path):
    """Moments gather around that of the commit: after a kill that was too early the next one is later."""
    draw = random.Random(0)
    scratch = path.parent / "scratch"
    shutil.copytree(path, scratch)
    moment = {
        "add": took(lambda: open_archive(scratch).add(more(path, 60, prefix="s"))),
        "remove": took(lambda: open_archive(scratch).remove([f"s{row}" for row in range(60)])),
        "compact": took(lambda: open_archive(scratch).compact()),
        "describe": took(lambda: open_archive(scratch).describe(numbered(0))),
    }
    present, kills, outcomes = shown(path), 0, {False: 0, True: 0}
    kept = open_archive(path).vector_dim
    for number in count():
        if kills == 50:
            break
        what = ("add", "remove", "compact", "add", "describe")[number % 5]
        codes = more(path, 60, seed=number, prefix=f"n{number}-")
        gone = draw.sample(present, min(100, len(present) // 2))
        after = {
            "add": present + [item.id for item in codes.items],
            "remove": [id for id in present if id not in gone],
            "compact": present,
            "describe": present,
        }[what]
        do = {
            "add": lambda codes=codes: open_archive(path).add(codes),
            "remove": lambda gone=gone: open_archive(path).remove(gone),
            "compact": lambda: open_archive(path).compact(),
            "describe": lambda number=number: open_archive(path).describe(numbered(number)),
        }[what]
        before = generation(path)
        kills += killed(do, moment[what] * draw.uniform(0, 2))
        found = shown(path)
        assert found in (present, after), f"{what} {number}: half done"
        done = generation(path) != before if what in ("compact", "describe") else found == after
        assert done or what != "describe" or str(number) not in open_archive(path).counted("number")
        outcomes[done] += 1
        moment[what] *= 0.8 if done else 1.25
        present = found
    assert min(outcomes.values()) > 8
    open_archive(path).compact()
    assert shown(path) == present
    assert len(list(path.iterdir())) == 3 + (kept is not None), "what killed writers left is gone"


def numbered(number: int) -> Callable[[HashCodes], list[dict[str, str]]]:
    """Other further fields for all items."""
    return lambda codes: [{"number": str(number)} for _ in codes.items]


def generation(path: Path) -> int:
    return open_archive(path)._view().generation


@pytest.mark.parametrize("opened", ["before", "after"])
def test_a_half_written_commit_is_undone_by_who_reads_next(path, tmp_path, opened):
    wanted = shown(path)
    copy = tmp_path / "copy"
    shutil.copytree(path, copy)
    reader = open_archive(copy) if opened == "before" else None
    with closing(sqlite3.connect(path / "items.sqlite")) as sqlite:
        sqlite.executescript("PRAGMA cache_size = 2; PRAGMA cache_spill = 1; BEGIN IMMEDIATE;")
        sqlite.execute("UPDATE items SET transcript = 'half', label = 'half'")
        sqlite.execute("DELETE FROM segments")
        for name in ("items.sqlite", "items.sqlite-journal"):  # as a killed process leaves them
            (copy / name).write_bytes((path / name).read_bytes())
        sqlite.rollback()
    assert b"half" in (copy / "items.sqlite").read_bytes(), "the case is not vacuous"
    assert (copy / "items.sqlite-journal").stat().st_size > 0
    if reader is not None:
        assert reader.item("i5") == open_archive(path).item("i5")
    assert shown(copy) == wanted
    assert b"half" not in (copy / "items.sqlite").read_bytes()


def test_who_may_not_write_is_told_who_can_undo_it(path, monkeypatch):
    archive = open_archive(path)

    def refused(*arguments, **named):
        raise sqlite3.OperationalError("attempt to write a readonly database")

    class CutOff:
        def execute(self, *_):
            error = sqlite3.OperationalError("attempt to write a readonly database")
            error.sqlite_errorcode = sqlite3.SQLITE_READONLY_ROLLBACK
            raise error

    monkeypatch.setattr(archive._view()._database, "_sqlite", CutOff())
    monkeypatch.setattr("dtbh.index.archive.database.sqlite3.connect", refused)
    with pytest.raises(
        CodesError, match=r"items\.sqlite: a process was killed .* open the archive once as someone who"
    ):
        archive.item("i0")


def with_limit(do: Callable[[], object], size: int) -> str | None:
    """Do it in a process that can write no file beyond a size; what it said, None where all went well."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        said = b""
        try:
            do()
        except DtbhError as error:
            said = str(error).encode()
        except BaseException as error:
            said = b"not explained: " + repr(error).encode()
        os.write(write, said)
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as file:
        said = file.read()
    os.waitpid(child, 0)
    return said.decode() or None


@pytest.mark.parametrize("what", ["add", "remove", "compact", "describe", "replace", "create"])
def test_a_full_disk_leaves_the_archive_as_it_was(path, what):
    codes, new = more(path, 500, prefix="n"), path.parent / "new"
    do = {
        "add": lambda: open_archive(path).add(codes),
        "remove": lambda: open_archive(path).remove([f"i{row}" for row in range(0, 300, 2)]),
        "compact": lambda: open_archive(path).compact(),
        "describe": lambda: open_archive(path).describe(numbered(1)),
        "replace": lambda: create_archive(path, codes),
        "create": lambda: create_archive(new, codes),
    }[what]
    wanted = shown(path)
    files = {file.name: file.read_bytes() for file in path.iterdir()}
    failures, largest = 0, max(map(len, files.values()))
    for size in [0, 100, 300, 2500, 5000, *range(10_000, 400_000, 30_000)]:
        said = with_limit(do, size)
        if said is None:
            break
        failures += 1
        assert "can't be written" in said
        assert "nothing was changed" in said
        assert "\n" not in said
        assert shown(path) == wanted
        assert {file.name for file in path.iterdir()} == files.keys()
        if size > largest:  # else what stood there could not be written back either, unlike on a full disk
            assert {file.name: file.read_bytes() for file in path.iterdir()} == files
        assert not new.exists()
        assert [file.name for file in path.parent.iterdir()] == ["archive"]
    assert failures >= 2, "the case is not vacuous"
    assert said is None, "without a limit it works"
    shown(new if what == "create" else path)


def test_a_cut_file_is_named(path):
    for name in (file.name for file in sorted(path.iterdir())):
        data = (path / name).read_bytes()
        for size in (0, 1, len(data) // 2, len(data) - 2):  # the last byte of archive.json is a line's end
            (path / name).write_bytes(data[:size])
            with pytest.raises(CodesError, match=name.replace(".", r"\.")) as caught:
                shown(path)
            assert "\n" not in str(caught.value)
        (path / name).write_bytes(data)
    shown(path)


@pytest.mark.parametrize("name", UNSEEN)
def test_an_altered_byte_is_noticed_and_its_file_named(tmp_path, name):
    path = create_archive(tmp_path / "archive", make_codes(300, dim=DIM if name == "vectors.bin" else None)).path
    archive = open_archive(path)
    archive.add(more(path, 40, prefix="n"))
    archive.remove(["i3", "n7"])
    del archive
    wanted, data = everything(path), (path / name).read_bytes()
    rng = np.random.default_rng(0)
    unseen = 0
    for place in rng.choice(len(data), 120, replace=False):
        altered = bytearray(data)
        altered[place] ^= 1 << rng.integers(8)
        (path / name).write_bytes(altered)
        if said := complaint(path):
            assert name in said
            assert "\n" not in said
        else:  # a byte that SQLite does not use, or white space
            unseen += 1
            assert everything(path) == wanted
    assert unseen < UNSEEN[name]
    (path / name).write_bytes(data)
    assert everything(path) == wanted


def complaint(path: Path) -> str | None:
    try:
        shown(path)
    except CodesError as error:
        return str(error)
    return None


def everything(path: Path):
    """All that an archive says."""
    archive = open_archive(path)
    rows = archive.rows()
    filters = [archive.rows({"label": label}).tolist() for label in archive.labels()]
    return archive.at(rows).words.tolist(), archive.items(rows), archive.encoder, archive.bits, archive.model, filters


@pytest.mark.parametrize("file", ["codes.bin", "vectors.bin"])
def test_a_file_that_is_cut_while_it_is_open_is_named_and_ends_no_process(file: str, tmp_path: Path) -> None:
    codes = make_codes(n=3000, dim=8)
    archive = create_archive(tmp_path / "a", codes)
    archive.search(codes.select([0]), 3)
    os.truncate(tmp_path / "a" / file, 8)
    with pytest.raises(CodesError, match=rf"{file}: was cut: 8 bytes, wanted"):
        archive.search(codes.select([0]), 3)
    with pytest.raises(CodesError, match="was cut"):
        archive.at([2999])
