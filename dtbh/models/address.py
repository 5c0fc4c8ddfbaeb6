"""Where a model of others lies: an address, taken apart, and what is said where nothing is there."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from urllib.parse import quote, urlsplit, urlunsplit

from dtbh.errors import DtbhError, RunError
from dtbh.models.encoder import EXPORTED
from dtbh.models.run_files import RUN
from dtbh.models.shared_files import SUMS
from dtbh.models.unpack import ARCHIVES
from dtbh.utils.download import PageError, StatusError, check_url

HUB = "https://huggingface.co"
PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin", ".joblib")
_HUB = re.compile(r"hf://([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@([\w./-]+))?", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Address:
    """An address; `address_of` makes it.

    Attributes:
        given: As it was given.
        url: Of the folder or of the archive.
        fixed: Whether what lies there never changes.
    """

    given: str
    url: str
    fixed: bool = False

    def file(self, name: str) -> str:
        """The address of a file of the folder."""
        parts = urlsplit(self.url)
        return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{quote(name)}"))

    @property
    def archive(self) -> str | None:
        """How the archive's name ends, if it is one."""
        return next((end for end in ARCHIVES if urlsplit(self.url).path.lower().endswith(end)), None)

    @property
    def folder_name(self) -> str:
        """A name for what was fetched from there, without what may be secret in it."""
        readable = re.sub(r"[^A-Za-z0-9._-]+", "-", self.given.split("://", 1)[1].partition("?")[0]).strip("-.")
        return f"{readable[-60:]}-{hashlib.sha256(self.given.encode()).hexdigest()[:12]}"

    def nothing(self, why: StatusError | PageError) -> RunError:
        """That no model can be had there, and what to do."""
        said = "a web page" if isinstance(why, PageError) else f"the server answers {why.status}"
        if self.given.startswith("hf://"):
            hint = "check owner, name and revision, and that anybody may read it"
        elif urlsplit(self.url).hostname == urlsplit(_hub()).hostname:
            hint = "give a model of the hub as hf://owner/name"
        elif self.archive:
            hint = "check the address, and that anybody may read it"
        else:
            hint = "give a folder that dtbh publish or dtbh export wrote, or a .zip or .tar.gz of it"
        return RunError(f"{self.given}: no model there ({said}); {hint}")


def address_of(given: str) -> Address:
    """Take an address apart.

    Args:
        given: ``https://...``, ``http://`` of this machine, or ``hf://owner/name[@revision]``, which is of the hub
            at ``$HF_ENDPOINT``.

    Raises:
        DtbhError: It can't be one, or is not safe.
        RunError: What it names may be a pickle.
    """
    if given.startswith("hf://"):
        found = _HUB.fullmatch(given.rstrip("/"))
        if found is None or ".." in given:
            raise DtbhError(f"{given}: wanted hf://owner/name or hf://owner/name@revision")
        revision = found.group(2) or "main"
        url = f"{_hub()}/{found.group(1)}/resolve/{quote(revision, safe='')}"
        check_url(url)
        return Address(given, url, fixed=_COMMIT.fullmatch(revision) is not None)
    check_url(given)
    parts = urlsplit(given)
    if parts.path.lower().endswith(PICKLES):
        raise RunError(
            f"{given}: may be a pickle, which can run anything when it is read, so it is not fetched; wanted a folder "
            "that dtbh publish or dtbh export wrote, a .zip or .tar.gz of it, or hf://owner/name"
        )
    for name in (EXPORTED, RUN, SUMS):  # the folder is meant
        if parts.path.endswith(f"/{name}"):
            return Address(given, urlunsplit(parts._replace(path=parts.path[: -len(name)])))
    return Address(given, given)


def _hub() -> str:
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or HUB
