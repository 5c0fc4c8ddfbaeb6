"""Many files are encoded by parts on all cores, and their codes are those of each alone."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from dtbh.data.manifest import Item
from dtbh.errors import MediaError, RunError, WordlessError
from dtbh.media.transcriber import AT_ONCE, Heard
from dtbh.media.utterance import WIDTH
from dtbh.models import onnx_encoder
from dtbh.models.onnx_encoder import BATCH, WAITING, OnnxEncoder, open_exported
from dtbh.models.run_files import place_of


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> OnnxEncoder:
    """The ready model, as on three cores."""
    monkeypatch.setattr(onnx_encoder, "cores", lambda: 3)
    return open_exported(place_of("ready"))


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> list[Item]:
    """Of many colours, every seventh of them no picture."""
    folder, rng = tmp_path_factory.mktemp("tiles"), np.random.default_rng(0)
    items = []
    for number in range(5 * BATCH + 3):
        path = folder / f"{number}.png"
        if number % 7 == 3:
            path.write_bytes(b"no picture")
        else:
            Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8)).resize((64, 64)).save(path)
        items.append(Item(path.name, "image", str(path)))
    return items


def test_each_image_has_the_code_it_has_alone(model: OnnxEncoder, tiles: list[Item]) -> None:
    good = [item for number, item in enumerate(tiles) if number % 7 != 3]
    wanted = np.concatenate([model.values("image", model.read("image", [item])) for item in good])
    found = model.encode(tiles, skip=True, values=True)
    assert found.codes.items == tuple(good)
    assert [reason.partition(": ")[0] for reason in found.failures] == [x.path for x in tiles if x not in good]
    assert found.values is not None
    np.testing.assert_allclose(found.values, wanted, atol=1e-5)
    assert len(np.unique(found.codes.words)) > 40


def test_where_one_stops_it_all_the_rest_is_left(
    model: OnnxEncoder, tiles: list[Item], monkeypatch: pytest.MonkeyPatch
) -> None:
    coded: list[int] = []
    real = OnnxEncoder._coded
    monkeypatch.setattr(OnnxEncoder, "_coded", lambda self, *given: coded.append(1) or real(self, *given))
    monkeypatch.setattr(onnx_encoder, "cores", lambda: 2)
    with pytest.raises(MediaError, match=r"3\.png"):
        model.encode(tiles * 4)
    assert len(coded) <= 2 + WAITING + 1  # of 21: the first, and what was begun beside it


class Ears:
    """Hears in a sound as many words as it has hundreds of samples; in every fifth none."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def __call__(self, waveforms: Sequence[np.ndarray], language: str) -> list[Heard | None]:
        self.asked.append(len(waveforms))
        counts = [len(wave) // 1600 for wave in waveforms]
        nothing = np.full(WIDTH, -(WIDTH**-0.5), np.float32)  # that any caption means
        said = [Heard("boats " * count, True, meaning=nothing) for count in counts]
        return [heard if count and count % 5 else None for heard, count in zip(said, counts, strict=True)]


def test_many_sounds_are_listened_to_at_once_and_have_the_codes_of_their_words(
    model: OnnxEncoder, tmp_path: Path
) -> None:
    items, spoken = [], []
    for number in range(AT_ONCE + BATCH + 5):
        path, count = tmp_path / f"{number}.wav", 1 + number % 9
        soundfile.write(path, np.tile([0.5, -0.5] if number != 2 else [0.0, 0.0], 800 * count), 16000)
        items.append(Item(path.name, "sound", str(path)))
        spoken.append("boats " * count if count % 5 and number != 2 else None)
    model.__dict__["_transcriber"] = ears = Ears()
    found = model.encode(items, skip=True, values=True)
    assert sorted(ears.asked) == [BATCH + 5, AT_ONCE]
    assert [item for item, said in zip(items, spoken, strict=True) if said] == [*found.codes.items]
    assert "silent" in found.failures[0]
    assert all("no words are heard" in reason for reason in found.failures[1:])
    parts = [[x for x in spoken[first : first + BATCH] if x] for first in range(0, len(items), BATCH)]
    wanted = [model.values("text", model.read("text", [_text(x) for x in part])) for part in parts]
    assert found.values is not None
    np.testing.assert_allclose(found.values, np.concatenate(wanted), atol=1e-3)
    assert found.heard[items[0].id] == spoken[0]


def test_what_can_not_be_opened_beside_says_so_where_it_is_used(
    model: OnnxEncoder, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    soundfile.write(tmp_path / "said.wav", np.tile([0.5, -0.5], 800 * 3), 16000)
    path = Path(shutil.copytree(model.path, tmp_path / "cut"))
    (path / "text.onnx").write_bytes(b"cut")
    cut, item = open_exported(path), Item("said", "sound", str(tmp_path / "said.wav"))
    cut.__dict__["_transcriber"] = Ears()
    for _ in range(2):
        with pytest.raises(RunError, match=r"text\.onnx: cut or altered"):
            cut.encode([item])
    cut.__dict__["_transcriber"] = lambda waves, language: [None]
    with pytest.raises(WordlessError):
        cut.encode([item])
    assert capfd.readouterr() == ("", "")
    (path / "text.onnx").write_bytes((model.path / "text.onnx").read_bytes())
    cut.__dict__["_transcriber"] = model.__dict__["_transcriber"] = Ears()
    assert (cut.encode([item]).codes.words == model.encode([item]).codes.words).all()


def _text(text: str) -> Item:
    return Item(text, "text", transcript=text)
