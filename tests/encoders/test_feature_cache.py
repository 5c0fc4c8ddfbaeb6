"""The store of what frozen backbones give: computed once, read when it is asked for."""

from __future__ import annotations

import multiprocessing
import sqlite3
import threading
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dtbh.encoders.feature_cache import stored_outputs
from dtbh.errors import DtbhError, MediaError
from tests.encoders.test_dual_encoder import make_images


def test_a_damaged_store_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DTBH_CACHE", str(tmp_path))
    (tmp_path / "abc.sqlite").write_text("not a database, but long enough to be taken for one" * 40)
    with pytest.raises(DtbhError, match=r"abc\.sqlite: the store of backbone outputs can't be used"):
        stored_outputs(make_images(tmp_path, 1), lambda wanted: [np.zeros(2)], backbone="abc", views=[0], batch=1)


def test_stored_outputs_are_read_when_asked_for_by_any_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DTBH_CACHE", str(tmp_path))

    def lengths(wanted: list[tuple[str, int]]) -> list[NDArray[np.float64]]:
        return [np.full(6, len(text) + view / 8) for text, view in wanted]

    stored = stored_outputs(["a", "bcd", "a"], lengths, backbone="abc", views=[4, 2], batch=2, dtype="<f2").in_rows(3)
    wanted = [[[[length + view / 8] * 3] * 2 for view in (4, 2)] for length in (1, 3, 1)]
    assert [[view.tolist() for view in row] for row in stored] == wanted
    for start in ("fork", "spawn"):
        context = multiprocessing.get_context(start)
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            assert pool.submit(stored.read, 1, 0).result().tolist() == wanted[1][0]
    with closing(sqlite3.connect(tmp_path / "abc.sqlite")) as store:
        store.execute("DELETE FROM outputs WHERE view = 2")
        store.commit()
    assert stored[0][0].tolist() == wanted[0][0]
    with pytest.raises(DtbhError, match=r"abc\.sqlite: the store of backbone outputs can't be used \(what it had is g"):
        stored[0][1]


def test_several_compute_at_once_and_what_they_give_is_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DTBH_CACHE", str(tmp_path))
    texts, together, met = [f"{number:02}" for number in range(20)], threading.Barrier(2, timeout=30), set()

    def numbers(wanted: list[tuple[str, int]]) -> list[NDArray[np.float64]]:
        if len(met) < 2:
            met.add(threading.current_thread().name)
            together.wait()
        if "13" in dict(wanted) and broken:
            raise MediaError("13: can't be read")
        return [np.full(1, int(text)) for text, _ in wanted]

    broken = True
    with pytest.raises(MediaError, match="13: can't be read"):
        stored_outputs(texts, numbers, backbone="abc", views=[0], batch=3, threads=2)
    with closing(sqlite3.connect(tmp_path / "abc.sqlite")) as store:
        assert store.execute("SELECT count(*) FROM outputs").fetchone()[0] == 3, "what was done before is kept"
    broken = False
    stored = stored_outputs(texts, numbers, backbone="abc", views=[0], batch=3, threads=2)
    assert [int(row[0][0]) for row in stored] == [*range(20)]
    assert [[int(view[0]) for view in row] for row in stored[-2:]] == [[18], [19]]
    assert len(met) == 2


def test_who_computes_ends_with_who_stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DTBH_CACHE", str(tmp_path))
    calls = []

    def wrong(wanted: list[tuple[str, int]]) -> list[NDArray[np.float64]]:
        calls.append(wanted)
        return []

    with pytest.raises(ValueError, match="zip"):
        stored_outputs([str(n) for n in range(50)], wrong, backbone="abc", views=[0], batch=1, threads=2)
    assert not [one for one in threading.enumerate() if one.name.startswith("dtbh-features")]
    assert len(calls) <= 4


def test_a_store_is_found_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DTBH_CACHE", "cache")
    stored = stored_outputs(["a"], lambda wanted: [np.ones(2)], backbone="abc", views=[0], batch=1)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert stored[0][0].tolist() == [1, 1]


def test_a_file_that_is_gone_is_named_and_not_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DTBH_CACHE", str(tmp_path / "cache"))
    found = [*make_images(tmp_path, 1), tmp_path / "gone.png"]
    with pytest.raises(MediaError, match=r"gone\.png: can't be read \(No such file or directory\)"):
        stored_outputs(found, lambda wanted: [np.zeros(2) for _ in wanted], backbone="abc", views=[0], batch=1)
