"""What is there but no regular file is told as what it is, and never opened."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dtbh.data.checks import check
from dtbh.data.manifest import Item, Modality
from dtbh.errors import MediaError
from dtbh.media.files import check_media
from dtbh.media.image import load_pixels
from dtbh.media.sound import load_sound

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")


@pytest.mark.parametrize("modality", ["image", "sound"])
def test_pipes_devices_and_folders_are_no_files(tmp_path: Path, modality: Modality) -> None:
    pipe, folder = tmp_path / "pipe", tmp_path / "folder"
    os.mkfifo(pipe)
    folder.mkdir()
    for path, kind in ((pipe, "a pipe"), (Path("/dev/zero"), "a device"), (folder, "a folder")):
        with pytest.raises(MediaError, match=f"{path}: {kind}, .* {modality} file wanted; ") as caught:
            load_pixels(path, 8) if modality == "image" else load_sound(path)
        assert check([Item("x", modality, str(path), "beach")]).problems == (str(caught.value),)


def test_files_and_what_is_not_there_pass(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    for name in ("a", "b"):
        check_media(tmp_path / name, "an image")
