"""Trained models as what a training goes on from: what their backbones give, their heads, and a copy with other heads.

Backbones stay as they are. An exported model needs no torch for it, a run does.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dtbh.config import Config
from dtbh.data.manifest import Item, Modality
from dtbh.data.tiling import media_of
from dtbh.errors import ConfigError, RunError
from dtbh.media.text import TOKENIZER
from dtbh.models.encoder import EXPORTED
from dtbh.models.load import load
from dtbh.models.onnx_encoder import BATCH, OnnxEncoder
from dtbh.models.onnx_heads import OUTPUT, put_head, read_head, with_backbone
from dtbh.models.run_files import MODEL
from dtbh.models.shared_files import digest
from dtbh.utils.device import session_options
from dtbh.utils.files import write_file, write_text
from dtbh.utils.packages import check_installed
from dtbh.utils.progress import track

if TYPE_CHECKING:
    from dtbh.models.torch_encoder import TorchEncoder

Head = Mapping[str, NDArray[Any]]
"""A head's parameters, by the names of its state dict."""
MODALITIES: tuple[Modality, Modality] = ("image", "text")


class Start(Protocol):
    """What training goes on from; `start_of` opens it."""

    fingerprint: str
    config: Config
    path: Path

    def outputs(self, items: Sequence[Item]) -> NDArray[np.float64]:
        """What the backbone gives of images, or of texts: float64 [n, d]; raises MediaError."""

    def heads(self) -> tuple[Head, Head]:
        """The heads of images and of texts."""

    def write(self, folder: Path, image: Head, text: Head) -> None:
        """Put the same network with these heads into a folder."""


def start_of(path: Path) -> Start:
    """Open a model to go on from.

    Raises:
        ConfigError: It has no tower for texts, or a network of sounds, which knows the old codes alone.
        RunError: No model here, or a damaged one.
    """
    model = load(path)
    encoders = model.config.encoders
    if encoders.text is None or encoders.concepts is None:
        raise ConfigError(
            f"{path}: has no text tower, by which --from brings images to what is said of them; start from ready, or "
            "from a model of configs/any-words"
        )
    if encoders.sound is not None and not encoders.sound.words_alone:
        raise ConfigError(
            f"{path}: has a network of sounds that was trained to meet the codes as they were; start from ready, or "
            "from a model with encoders.sound null or encoders.sound.backbone=words"
        )
    if isinstance(model, OnnxEncoder):
        check_installed("onnx", extra="train", purpose="dtbh train --from")
        return ExportedStart(model)
    from dtbh.models.torch_encoder import TorchEncoder

    assert isinstance(model, TorchEncoder)
    return RunStart(model)


class ExportedStart:
    """An exported model."""

    def __init__(self, model: OnnxEncoder) -> None:
        import onnx

        self._model = model
        self.fingerprint, self.config, self.path = model.fingerprint, model.config, model.path
        self._networks = {}
        meant = "utterance" in model.meta["towers"].get("sound", {})  # whose network is the texts' head alone
        self._modalities: tuple[Modality, ...] = (*MODALITIES, "sound") if meant else MODALITIES
        for modality in self._modalities:
            tower = model.meta["towers"][modality]
            file = model.path / tower["file"]
            if digest(file) != tower["sha256"]:
                raise RunError(f"{file}: cut or altered; export the run again with dtbh export")
            self._networks[modality] = onnx.load(str(file))

    def outputs(self, items: Sequence[Item]) -> NDArray[np.float64]:
        """As `Start` says."""
        import onnxruntime  # type: ignore[import-untyped]

        modality = items[0].modality
        network = with_backbone(self._networks[modality])
        session = onnxruntime.InferenceSession(network, session_options(), providers=["CPUExecutionProvider"])
        names, found = [given.name for given in session.get_inputs()], []
        for start in track(range(0, len(items), BATCH), f"looking at {modality}s", total=len(items), each=BATCH):
            media = self._model.read(modality, items[start : start + BATCH])
            found += session.run([OUTPUT], dict(zip(names, media, strict=True)))
        return np.concatenate(found).astype(np.float64)

    def heads(self) -> tuple[Head, Head]:
        """As `Start` says."""
        try:
            image, text = (read_head(self._networks[modality]) for modality in MODALITIES)
        except RunError as error:
            raise RunError(f"{self.path}: {error}; export its run again, by this dtbh, or start from the run") from None
        return image, text

    def write(self, folder: Path, image: Head, text: Head) -> None:
        """As `Start` says."""
        meta = json.loads(json.dumps(self._model.meta))
        for modality in self._modalities:
            head = image if modality == "image" else text
            network = type(self._networks[modality])()
            network.CopyFrom(self._networks[modality])
            put_head(network, head)
            data: bytes = network.SerializeToString(deterministic=True)
            tower = meta["towers"][modality]
            write_file(folder / tower["file"], lambda file, data=data: file.write(data))  # type: ignore[misc]
            tower["sha256"] = hashlib.sha256(data).hexdigest()
        if "tokenizer" in meta["towers"]["text"]:
            shutil.copyfile(self.path / meta["towers"]["text"]["tokenizer"], folder / TOKENIZER)
            meta["towers"]["text"]["tokenizer"] = TOKENIZER
        sums = [meta["towers"][modality]["sha256"] for modality in self._modalities]
        meta["fingerprint"] = meta["run"] = hashlib.sha256(f"from {self.fingerprint} {sums}".encode()).hexdigest()[:16]
        meta["self_test"] = {}  # there is no run to compare with
        meta.pop("cost", None)
        if (self.path / "requirements.txt").is_file():
            shutil.copyfile(self.path / "requirements.txt", folder / "requirements.txt")
        write_text(folder / EXPORTED, json.dumps(meta, indent=2) + "\n")


class RunStart:
    """A run folder."""

    def __init__(self, model: TorchEncoder) -> None:
        self._model = model
        self.fingerprint, self.config, self.path = model.fingerprint, model.config, model.path

    def outputs(self, items: Sequence[Item]) -> NDArray[np.float64]:
        """As `Start` says; outputs are kept in the store on disk."""
        import torch

        from dtbh.encoders.cached_readers import media_reader, reader_for, text_reader

        twin, device = self._model.twin, torch.device(self._model.device)
        stored: Any
        if items[0].modality == "text":
            stored = text_reader(twin, [str(item.transcript) for item in items], device=device)
        else:
            media = [media_of(item) for item in items]
            paths = [one for one in media if isinstance(one, Path)]
            if len(paths) < len(media):  # tiles of scenes, which are not stored
                reader = media_reader(twin, "image", media)
                parts = [reader.collate([reader(row)]) for row in range(len(media))]
                with torch.inference_mode():
                    seen = [twin.image.outputs(*(x.to(device) for x in part))[0] for part in parts]
                return torch.cat(seen).double().cpu().numpy()
            stored = reader_for(twin, "image", paths, device=device)
        return np.asarray(stored.outputs, dtype=np.float64)[:, 0]

    def heads(self) -> tuple[Head, Head]:
        """As `Start` says."""
        twin = self._model.twin
        image, text = (
            {name: part.cpu().numpy() for name, part in twin.tower(modality).head.state_dict().items()}
            for modality in MODALITIES
        )
        return image, text

    def write(self, folder: Path, image: Head, text: Head) -> None:
        """As `Start` says."""
        from safetensors.numpy import save

        state = {name: part.detach().cpu().numpy() for name, part in self._model.twin.state_dict().items()}
        for modality, head in zip(MODALITIES, (image, text), strict=True):
            state |= {f"{modality}.head.{name}": values for name, values in head.items()}
        weights = save({name: np.ascontiguousarray(values) for name, values in state.items()})
        write_file(folder / MODEL, lambda file: file.write(weights))
