"""Models of others: from an address to a folder in the cache, fetched whole, checked, and fetched once.

Only weights in formats that hold nothing but numbers, and text, are fetched.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from pathlib import Path

from dtbh.errors import RunError
from dtbh.models.address import Address, address_of
from dtbh.models.encoder import EXPORTED
from dtbh.models.run_files import CONFIDENCE, CONFIG, MODEL, RUN, is_address, place_of, read_run
from dtbh.models.shared_files import SUMS, WEIGHTS, digest, parse_sums, takes, towers_of
from dtbh.models.unpack import unpack
from dtbh.utils.download import PageError, StatusError, UnreachableError, download, read_small
from dtbh.utils.files import cache_folder, explained, file_lock, write_text
from dtbh.utils.progress import echo

LARGEST = 4 << 30  # bytes of a file of weights, or of an archive
TEXT = 16 << 20  # bytes of any other file
OPTIONAL = (CONFIDENCE, "requirements.txt", "README.md", "report.json")


def located(place: str | Path) -> Path:
    """The folder of a model on this machine: as it is given, that of the ready one, or fetched from its address.

    Raises:
        RunError, DtbhError: As `fetch`.
    """
    return fetch(str(place)) if is_address(place) else place_of(place)


def fetch(address: str) -> Path:
    """Bring a model into the cache, unless it is there, and say where it lies.

    What is there is taken without a question where the address names a commit, and where no server can be reached.

    Args:
        address: ``https://host/folder`` with ``model.json``, ``run.json`` or ``SHA256SUMS`` in it, a ``.zip``,
            ``.tar.gz`` or ``.tgz`` of such a folder, or ``hf://owner/name[@revision]``.

    Raises:
        RunError: No model there, one of a newer version, or files that are not those of its checksums.
        DtbhError: An address that can't be, no network, no such file, too large a one, or one that broke off: the
            next call goes on there. What is half-written is never taken for a model.
    """
    place = address_of(address)
    home = cache_folder() / "models" / place.folder_name
    with explained(home):
        home.mkdir(parents=True, exist_ok=True)
    with file_lock(home, "fetching", wait=True):
        kept = sorted((path for path in home.iterdir() if path.is_dir() and path.name[0] != "."), key=_age)
        if place.fixed and kept:
            return kept[-1]
        try:
            folder = _archive(place, home) if place.archive else _folder(place, home)
        except UnreachableError as error:
            if not kept:
                raise UnreachableError(f"{error}; no copy of an earlier fetch is here") from None
            when = time.strftime("%Y-%m-%d", time.localtime(_age(kept[-1])))
            echo(f"{error}; taking what was fetched on {when}")
            return kept[-1]
        if folder not in kept:
            size = sum(file.stat().st_size for file in folder.iterdir())
            echo(f"{address}: {size / 1e6:.1f} MB fetched into {folder}")
            for old in home.glob(".*.partial"):
                shutil.rmtree(old, ignore_errors=True)
        return folder


def _age(path: Path) -> float:
    return path.stat().st_mtime


def _folder(place: Address, home: Path) -> Path:
    """The files of a folder, brought one by one into a hidden folder that gets its name when all are there."""
    listing, data = _listing(place)
    folder = home / hashlib.sha256(data).hexdigest()[:16]
    if folder.is_dir():
        return folder
    new = home / f".{folder.name}.partial"
    with explained(new):
        new.mkdir(exist_ok=True)
        (new / listing).write_bytes(data)
    try:
        if listing == SUMS:
            sums = {name: sum for name, sum in parse_sums(data, place.given).items() if takes(name)}
        else:
            sums = dict.fromkeys((listing, CONFIG, RUN) if listing == EXPORTED else (listing, CONFIG, MODEL), "")
        if EXPORTED in sums:  # first, as it says whether the others are worth fetching
            _bring(place, EXPORTED, sums[EXPORTED], new)
            sums = {**towers_of(new / EXPORTED, place.given), **sums}
        for name, sum in sums.items():
            _bring(place, name, sum, new)
        for name in () if listing == SUMS else OPTIONAL:
            try:
                _bring(place, name, "", new)
            except (StatusError, PageError) as error:
                if not _missing(error):
                    raise
        return _finished(new, folder, place.given)
    except RunError:  # nothing to go on with
        shutil.rmtree(new, ignore_errors=True)
        raise


def _listing(place: Address) -> tuple[str, bytes]:
    """The file that says what a folder is, and what it holds."""
    for name in (SUMS, EXPORTED, RUN):
        try:
            return name, read_small(place.file(name), limit=TEXT)
        except (StatusError, PageError) as error:
            if not _missing(error):
                raise
            last = error
    raise place.nothing(last)


def _missing(error: StatusError | PageError) -> bool:
    """Whether a server says so that there is no such file, or none for everybody."""
    return isinstance(error, PageError) or error.status in (401, 403, 404, 410)


def _bring(place: Address, name: str, sum: str, new: Path) -> None:
    """One file, unless it is there; a sum that is empty is not known."""
    path, limit = new / name, LARGEST if name.endswith(WEIGHTS) else TEXT
    if path.is_file() and (not sum or digest(path) == sum):
        return
    resumed = path.with_name(f"{name}.part").is_file()
    download(place.file(name), path, limit=limit, checked=bool(sum))
    if sum and resumed and digest(path) != sum:  # its first half may have been that of another file
        download(place.file(name), path, limit=limit)
    if sum and (found := digest(path)) != sum:
        path.unlink()
        raise RunError(
            f"{place.file(name)}: cut or altered: SHA-256 {found[:16]}, wanted {sum[:16]}; try again later, or tell "
            "whoever shares it"
        )


def _archive(place: Address, home: Path) -> Path:
    """The files of an archive, which is fetched again unless the server says that it is the same."""
    note, file = home / ".archive.json", home / f".archive{place.archive}"
    before = json.loads(note.read_text(encoding="utf-8")) if note.is_file() else {"mark": "", "folder": "-"}
    there = home / before["folder"]
    try:
        mark = download(place.url, file, limit=LARGEST, unless=before["mark"] if there.is_dir() else None)
    except (StatusError, PageError) as error:
        raise place.nothing(error) if _missing(error) else error from None
    if mark is None:
        return there
    folder = home / digest(file)[:16]
    new = home / f".{folder.name}.partial"
    try:
        if not folder.is_dir():
            with explained(new):
                shutil.rmtree(new, ignore_errors=True)
                new.mkdir()
                unpack(file, new, place.given, limit=LARGEST)
            _finished(new, folder, place.given)
    finally:
        shutil.rmtree(new, ignore_errors=True)
        file.unlink()
    write_text(note, json.dumps({"mark": mark, "folder": folder.name}) + "\n")
    return folder


def _finished(new: Path, folder: Path, address: str) -> Path:
    """Give a complete and sound model its place."""
    sums = parse_sums((new / SUMS).read_bytes(), address) if (new / SUMS).is_file() else {}
    wanted: tuple[str, ...] = (RUN, CONFIG, MODEL)
    towers: dict[str, str] = {}
    if (new / EXPORTED).is_file():
        wanted, towers = (EXPORTED, CONFIG, RUN), towers_of(new / EXPORTED, address)
    missing = {name for name in (*wanted, *towers, *filter(takes, sums)) if not (new / name).is_file()}
    if missing:
        raise RunError(f"{address}: no whole model: {', '.join(sorted(missing))} not there; tell whoever shares it")
    for name, sum in (*sums.items(), *towers.items()):
        if takes(name) and digest(new / name) != sum:
            raise RunError(f"{address}: {name} is cut or altered: its SHA-256 is another; tell whoever shares it")
    try:
        read_run(new)
    except RunError:
        raise RunError(f"{address}: its {RUN} is damaged, or of a newer version; update dtbh") from None
    with explained(folder):
        new.rename(folder)
    return folder
