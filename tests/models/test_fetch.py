"""Models of others: over a real server on this machine, whole or not at all, and what servers do wrong."""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import dtbh
from dtbh.errors import DtbhError
from dtbh.models.fetch import fetch
from dtbh.models.shared_files import write_sums
from dtbh.utils import progress
from tests.models.file_server import Files, serving

OLD = Path(__file__).parents[1] / "compat" / "old"
FINGERPRINT = json.loads((OLD / "expected.json").read_text())["fingerprint"]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Files]:
    """A server with an exported model at ``/model`` and a run at ``/run``, and a cache of its own."""
    monkeypatch.setenv("DTBH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("dtbh.utils.download.TIMEOUT", 5.0)
    root = tmp_path / "www"
    shutil.copytree(OLD / "exported", root / "model")
    shutil.copytree(OLD / "run", root / "run", ignore=shutil.ignore_patterns("report"))
    with serving(root) as server:
        yield server


def summed(files: Files) -> Path:
    """The served model with its checksums, as it is published."""
    folder = files.root / "model"
    write_sums(folder, [path.name for path in folder.iterdir()])
    return folder


def fetched(tmp_path: Path) -> list[str]:
    """What a model could be taken for in the cache."""
    return sorted(path.name for path in (tmp_path / "cache").glob("models/*/*") if not path.name.startswith("."))


def refused(address: str, tmp_path: Path) -> str:
    """The one line that says why nothing was fetched."""
    with pytest.raises(DtbhError) as caught:
        fetch(address)
    assert fetched(tmp_path) == []
    assert "\n" not in str(caught.value)
    assert address.rpartition("/")[0] in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["model", "run", "model/model.json"])
@pytest.mark.parametrize("sums", [False, True])
def test_a_folder_is_fetched_once_and_opened(files: Files, name: str, sums: bool) -> None:
    if name.startswith("model"):
        pytest.importorskip("onnxruntime")
    if sums:
        folder = files.root / name.partition("/")[0]
        write_sums(folder, [path.name for path in folder.iterdir()])
    model = dtbh.load(f"{files.url}/{name}")
    assert model.fingerprint == FINGERPRINT
    assert model.config.encoders.bits == 12
    before = len(files.asked)
    assert dtbh.load(f"{files.url}/{name}").path == model.path
    assert all(path.endswith(("SHA256SUMS", "model.json", "run.json")) for path, _, _ in files.asked[before:])


def test_a_hub_is_asked_where_it_says(files: Files, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_ENDPOINT", f"{files.url}/hub/")
    for revision in ("main", "v1.0", "0" * 40):
        shutil.copytree(files.root / "model", files.root / "hub" / "me" / "tiles" / "resolve" / revision)
    assert dtbh.load("hf://me/tiles").fingerprint == FINGERPRINT
    assert files.asked[-1][0].startswith("/hub/me/tiles/resolve/main/")
    dtbh.load("hf://me/tiles@v1.0")
    commit = f"hf://me/tiles@{'0' * 40}"
    path, before = fetch(commit), len(files.asked)
    assert fetch(commit) == path
    assert len(files.asked) == before  # what a commit names never changes
    with pytest.raises(DtbhError, match=r"me/others: no model there .*404.*; check owner, name"):
        fetch("hf://me/others")
    for wrong in ("hf://me", "hf://me/tiles@../x", "hf://../tiles", "hf://me/tiles/more"):
        with pytest.raises(DtbhError, match="wanted hf://owner/name"):
            fetch(wrong)
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.example")
    with pytest.raises(DtbhError, match="wanted https://"):
        fetch("hf://me/tiles")


def packed(folder: Path, out: Path, inside: str = "tiles-64/") -> Path:
    if out.suffix == ".zip":
        with zipfile.ZipFile(out, "w") as archive:
            for path in folder.iterdir():
                archive.write(path, f"{inside}{path.name}")
    else:
        with tarfile.open(out, "w:gz") as tar:
            for path in folder.iterdir():
                tar.add(path, f"{inside}{path.name}")
    return out


@pytest.mark.parametrize("name", ["tiles.zip", "tiles.tar.gz", "tiles.tgz"])
def test_an_archive_is_fetched_once_until_it_changes(files: Files, name: str) -> None:
    (files.root / "model" / "weights.pt").write_bytes(b"a pickle")
    packed(files.root / "model", files.root / name)
    first = fetch(f"{files.url}/{name}")
    assert dtbh.load(first).fingerprint == FINGERPRINT
    assert not (first / "weights.pt").exists()
    assert fetch(f"{files.url}/{name}") == first
    assert [status for _, status in files.sent(name)] == [200, 304]
    (files.root / "model" / "README.md").write_text("# new\n")
    packed(files.root / "model", files.root / name, inside="")
    second = fetch(f"{files.url}/{name}")
    assert second != first
    assert (second / "README.md").is_file()
    assert first.is_dir()  # archives may lean on it


def hostile(name: str, kind: bytes = tarfile.REGTYPE) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with tarfile.open(path, "w:gz") as tar:
            tar.add(OLD / "exported" / "model.json", "model.json")
            member = tarfile.TarInfo(name)
            member.type, member.linkname, data = kind, "/etc/passwd", b"out"
            member.size = len(data) if kind == tarfile.REGTYPE else 0
            tar.addfile(member, io.BytesIO(data))

    return write


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (hostile("../../out.json"), "leads out of its folder"),
        (hostile("/tmp/out.json"), "leads out of its folder"),
        (hostile("config.yaml", tarfile.SYMTYPE), "a link or a device"),
        (hostile("config.yaml", tarfile.LNKTYPE), "a link or a device"),
        (hostile("run.json"), "no whole model: config.yaml, sound.onnx not there"),
        (lambda path: path.write_bytes(b"PK no archive"), "can't be unpacked"),
    ],
)
def test_an_archive_that_means_harm_or_is_damaged(
    files: Files, tmp_path: Path, write: Callable[[Path], None], said: str
) -> None:
    write(files.root / "x.tar.gz")
    assert said in refused(f"{files.url}/x.tar.gz", tmp_path)
    assert not (tmp_path / "out.json").exists()


def test_an_archive_that_would_fill_the_disk(files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (files.root / "model" / "big.txt").write_bytes(bytes(1 << 20))
    monkeypatch.setattr("dtbh.models.fetch.LARGEST", 1 << 19)
    for name in ("bomb.zip", "bomb.tar.gz"):
        if name.endswith("zip"):
            with zipfile.ZipFile(files.root / name, "w", zipfile.ZIP_DEFLATED) as archive:
                for path in (files.root / "model").iterdir():
                    archive.write(path, path.name)
        else:
            packed(files.root / "model", files.root / name)
        assert "more than 0.0 GB unpacked" in refused(f"{files.url}/{name}", tmp_path)


@pytest.mark.parametrize("sums", [False, True])
@pytest.mark.parametrize("tags", [False, True])
def test_what_broke_off_goes_on_where_it_was(files: Files, tmp_path: Path, sums: bool, tags: bool) -> None:
    if sums:
        summed(files)
    files.tags = tags
    files.dies_after["/model/sound.onnx"] = 40_000
    size = (files.root / "model" / "sound.onnx").stat().st_size
    said = refused(f"{files.url}/model", tmp_path)
    assert f"broke off after 40000 of {size} bytes; the same call again goes on from there" in said
    assert dtbh.load(fetch(f"{files.url}/model")).fingerprint == FINGERPRINT
    assert files.sent("sound.onnx") == [("", 200), ("bytes=40000-", 206)]


def test_another_file_behind_half_a_download_is_taken_from_its_start(files: Files, tmp_path: Path) -> None:
    """With a changed ETag by the server's word, without one by the checksum."""
    folder = summed(files)
    right = (folder / "sound.onnx").read_bytes()
    for tags in (True, False):
        files.tags = tags
        (folder / "sound.onnx").write_bytes(b"x" * len(right))
        files.dies_after["/model/sound.onnx"] = 30_000
        assert "broke off" in refused(f"{files.url}/model", tmp_path)
        (folder / "sound.onnx").write_bytes(right)
        assert (fetch(f"{files.url}/model") / "sound.onnx").read_bytes() == right
        shutil.rmtree(tmp_path / "cache")
    assert [status for _, status in files.sent("sound.onnx")] == [200, 200, 200, 206, 200]


def test_a_half_that_is_longer_than_the_whole_is_dropped(files: Files, tmp_path: Path) -> None:
    files.dies_after["/model/sound.onnx"] = 50_000
    refused(f"{files.url}/model", tmp_path)
    (part,) = (tmp_path / "cache").glob("models/*/.*.partial/sound.onnx.part")
    part.write_bytes(bytes(90_000))
    fetch(f"{files.url}/model")
    assert [status for _, status in files.sent("sound.onnx")] == [200, 416, 200]


def altered(files: Files, **changes: object) -> None:
    path = files.root / "model" / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_model_of_a_newer_version(files: Files, tmp_path: Path) -> None:
    altered(files, version=99)
    said = refused(f"{files.url}/model", tmp_path)
    assert said == f"{files.url}/model: a model of version 99, this dtbh reads 1; update dtbh"
    assert files.sent("sound.onnx") == []


@pytest.mark.parametrize("name", ["../../evil.onnx", "/etc/evil.onnx", "sub/evil.onnx", "image.pt", ".hidden.onnx"])
def test_names_of_others_are_not_trusted(files: Files, tmp_path: Path, name: str) -> None:
    altered(files, towers={"sound": {"file": name, "sha256": "0" * 64}})
    assert "wanted plain names" in (said := refused(f"{files.url}/model", tmp_path)) or "wanted .onnx files" in said
    (files.root / "model" / "SHA256SUMS").write_text(f"{'0' * 64}  {name}\n")
    assert refused(f"{files.url}/model", tmp_path)
    assert not any(name.rpartition("/")[2] in path for path, _, _ in files.asked)


def test_a_pickle_is_never_fetched(files: Files, tmp_path: Path) -> None:
    assert "may be a pickle" in refused(f"{files.url}/model/pytorch_model.bin", tmp_path)
    assert files.asked == []
    (files.root / "model" / "pytorch_model.bin").write_bytes(b"a pickle")
    summed(files)
    assert not (fetch(f"{files.url}/model") / "pytorch_model.bin").exists()
    assert files.sent("pytorch_model.bin") == []


@pytest.mark.parametrize("sums", [False, True])
def test_a_wrong_checksum(files: Files, tmp_path: Path, sums: bool) -> None:
    if sums:
        summed(files)
    path = files.root / "model" / "sound.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    assert "sound.onnx: cut or altered: SHA-256 " in refused(f"{files.url}/model", tmp_path)


@pytest.mark.parametrize("pages", [False, True])
def test_a_page_and_nothing(files: Files, tmp_path: Path, pages: bool) -> None:
    files.pages = pages
    why = "a web page" if pages else "the server answers 404"
    for name in ("nothing", "nothing.zip", "some/page.html"):
        said = refused(f"{files.url}/{name}", tmp_path)
        assert said.startswith(f"{files.url}/{name}: no model there ({why}); ")
    assert dtbh.load(f"{files.url}/model").fingerprint == FINGERPRINT  # optional files are pages there


def test_a_file_far_too_large(files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files.says["/model/sound.onnx"] = 10_000_000_000
    assert "sound.onnx: 10.0 GB, dtbh takes 4.3 GB at most" in refused(f"{files.url}/model", tmp_path)
    files.says["/model/model.json"] = 10_000_000_000
    assert "model.json: 10.0 GB, dtbh takes 16.8 MB at most" in refused(f"{files.url}/model", tmp_path)


def test_redirects(files: Files, tmp_path: Path) -> None:
    for name in ("model.json", "sound.onnx", "config.yaml", "run.json"):
        files.leads[f"/there/{name}"] = f"/model/{name}"
    assert dtbh.load(f"{files.url}/there").fingerprint == FINGERPRINT
    shutil.rmtree(tmp_path / "cache")
    files.leads["/model/sound.onnx"] = "http://files.example/sound.onnx"
    said = refused(f"{files.url}/model", tmp_path)
    assert "redirects elsewhere, which is not followed: http://files.example/sound.onnx: wanted https://" in said
    files.leads["/model/sound.onnx"] = "file:///etc/passwd"
    assert refused(f"{files.url}/model", tmp_path)
    files.leads["/model/sound.onnx"] = "/model/sound.onnx"
    assert "302 and redirects too often" in refused(f"{files.url}/model", tmp_path)


def test_http_is_for_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DTBH_CACHE", str(tmp_path / "cache"))
    assert "wanted https://" in refused("http://models.example/x", tmp_path)
    assert "no address" in refused("https://models.example:port/x", tmp_path)


def test_offline(files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(progress._log, "quiet", False)
    path = fetch(f"{files.url}/model")

    def unknown(*args: object, **more: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert fetch(f"{files.url}/model") == path
    said = capsys.readouterr().err
    assert "can't be reached (Name or service not known); taking what was fetched on 2" in said
    shutil.rmtree(tmp_path / "cache")
    assert "no copy of an earlier fetch is here" in refused("https://models.example/ucm", tmp_path)


def test_two_processes_fetch_once(files: Files, tmp_path: Path) -> None:
    code = f"from dtbh.models.fetch import fetch; print(fetch({files.url + '/model'!r}))"
    root = str(Path(__file__).parents[2])
    both = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=root, env={**os.environ})
        for _ in range(2)
    ]
    paths = {process.communicate(timeout=60)[0].strip() for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert len(paths) == 1
    assert dtbh.load(paths.pop()).fingerprint == FINGERPRINT
    assert files.sent("sound.onnx") == [("", 200)]
