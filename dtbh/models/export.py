"""A trained run's towers to ONNX networks that need no torch, tested against the run before they are kept."""

from __future__ import annotations

import copy
import hashlib
import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dtbh.codes import signs
from dtbh.config import TextTower, write_config
from dtbh.data.manifest import Item, Modality, relative
from dtbh.encoders.cached_readers import media_reader
from dtbh.encoders.concept_head import TextHead
from dtbh.encoders.dual_encoder import DualEncoder, Tower
from dtbh.encoders.readers import Reader, TextReader
from dtbh.encoders.sentence_encoder import WIDTH
from dtbh.errors import ConfigError, RunError
from dtbh.media.text import TOKENIZER, tokenizer_file
from dtbh.media.transcriber import Transcriber
from dtbh.media.utterance import VERSION as UTTERANCE
from dtbh.models.cost import Cost
from dtbh.models.encoder import EXPORTED
from dtbh.models.onnx_encoder import BATCH, ROUNDING, VERSION, Agreement, OnnxEncoder, open_exported
from dtbh.models.quantize import lighter, quantized
from dtbh.models.run_files import CONFIG, RUN, data_folders, read_run
from dtbh.models.torch_encoder import TorchEncoder
from dtbh.utils.files import atomic_folder, check_place, write_file, write_text
from dtbh.utils.packages import declared
from dtbh.utils.progress import track

OPSET = 18
INPUTS: dict[Modality, list[str]] = {
    "image": ["pixels"], "sound": ["waveforms", "lengths"], "text": ["tokens", "lengths"],
}  # fmt: skip
OUTPUTS: dict[Modality, list[str]] = {
    "image": ["codes", "features"], "sound": ["codes", "features"], "text": ["codes", "features", "familiarity"],
}  # fmt: skip
REQUIREMENTS = "requirements.txt"


class _Codes(nn.Module):
    """A tower that gives its hash-like codes and deep features, and of texts how familiar they are.

    With ``sentences``, it gives of texts what the sentence encoder gives too.
    """

    def __init__(self, tower: Tower, *, sentences: bool) -> None:
        super().__init__()
        self.tower, self.sentences = tower, sentences

    def forward(self, *media: Tensor) -> tuple[Tensor, ...]:
        head = self.tower.head
        if not isinstance(head, TextHead):
            encoded = self.tower(*media)
            return encoded.codes, encoded.features
        vectors = self.tower.vectors(*self.tower.outputs(*media))
        encoded = self.tower.finish(vectors)
        found = encoded.codes, encoded.features, head.familiarity(vectors)
        return (*found, vectors) if self.sentences else found


class _OfSentences(nn.Module):
    """The head of the text tower alone: of sentences that were made out of sounds."""

    def __init__(self, tower: Tower) -> None:
        super().__init__()
        self.tower = tower

    def forward(self, sentences: Tensor) -> tuple[Tensor, ...]:
        head = self.tower.head
        assert isinstance(head, TextHead)
        encoded = self.tower.finish(sentences)
        return encoded.codes, encoded.features, head.familiarity(sentences)


def write_model(
    model: TorchEncoder, items: Sequence[Item], out: Path, *, calibration: Sequence[Item] | None = None,
    judge: Callable[[OnnxEncoder, Mapping[Modality, bytes]], Cost] | None = None,
) -> OnnxEncoder:  # fmt: skip
    """Export a run, beside and renamed, once its codes have been compared with the run's.

    Args:
        model: The run.
        items: Images and sounds to compare on, with absolute paths.
        out: The folder; an older exported model there is replaced.
        calibration: Other images and sounds, to make networks of 8-bit integers by. Their codes may differ from
            the run's, so the model is another encoder, with a fingerprint of its own.
        judge: Is asked of that model, and of its networks before they were quantized, what they cost; where it raises,
            nothing is written.

    Raises:
        RunError: A tower can't be exported; or, without ``calibration``, a bit differs beyond rounding.
        CodesError: Something else stands in the place.
        MediaError: An item can't be read.
    """
    check_place(out, EXPORTED, "exported model")
    with atomic_folder(out) as new:
        twin = copy.deepcopy(model.twin).cpu()
        towers: dict[str, dict[str, Any]] = {}
        whole: dict[Modality, bytes] = {}
        for modality in twin.modalities:
            data = whole[modality] = _onnx(twin, modality)
            if calibration is not None and modality == "text":
                data = lighter(data)
            elif calibration is not None:
                data = quantized(data, _batches(model, modality, calibration))
            name = f"{modality}.onnx"
            (new / name).write_bytes(data)
            reads = _reads(twin, modality)
            towers[modality] = {"file": name, "sha256": hashlib.sha256(data).hexdigest(), **reads}
        if "tokenizer" in towers.get("text", {}):
            tokenizer = tokenizer_file()
            write_file(new / TOKENIZER, lambda file: file.write(tokenizer))
            towers["text"]["tokenizer_sha256"] = hashlib.sha256(tokenizer).hexdigest()
        if twin.settings.sound is not None and twin.settings.sound.words_alone:
            towers["sound"] = _reads(twin, "sound")
            if twin.settings.sound.utterance:
                data = _of_sentences(twin.text)
                (new / "sound.onnx").write_bytes(data)
                towers["sound"] |= {"file": "sound.onnx", "sha256": hashlib.sha256(data).hexdigest()}
        meta: dict[str, Any] = {
            "version": VERSION, "bits": model.bits, "fingerprint": model.fingerprint, "run": model.fingerprint,
            "int8": calibration is not None, "towers": towers,
        }  # fmt: skip
        with suppress(ConfigError):  # without it, the model gives codes alone
            meta["vector_dim"] = model.vector_dim
        if calibration is not None:
            sums = [tower["sha256"] for tower in towers.values() if "sha256" in tower]
            meta["fingerprint"] = hashlib.sha256(f"int8 {model.fingerprint} {sums}".encode()).hexdigest()[:16]
        _write_meta(new, meta)
        _copy_run(model, new, out)
        write_text(new / REQUIREMENTS, "".join(f"{line}\n" for line in requirements(twin.settings.text)))
        found = compare(model, open_exported(new), items)
        meta["self_test"] = {name: asdict(agreement) for name, agreement in found.items()}
        if judge is not None and calibration is not None:
            meta["cost"] = asdict(judge(open_exported(new), whole))
        _write_meta(new, meta)
        for name, agreement in found.items():
            if agreement.beyond_rounding and calibration is None:
                raise RunError(f"{out}: the exported {name} tower is not the run's: {agreement.describe()}")
    return open_exported(out)


def compare(model: TorchEncoder, exported: OnnxEncoder, items: Sequence[Item]) -> dict[str, Agreement]:
    """The agreement of both on the images and on the sounds among the items.

    Raises:
        MediaError: An item can't be read.
    """
    found: dict[str, Agreement] = {}
    for modality in model.twin.modalities:
        own = [item for item in items if item.modality == modality]
        if own:
            found[modality] = _agreement(model, exported, modality, own)
    return found


@torch.inference_mode()
def _agreement(model: TorchEncoder, exported: OnnxEncoder, modality: Modality, items: Sequence[Item]) -> Agreement:
    tower = model.twin.tower(modality)
    device = next(tower.parameters()).device
    count = bits = differ = beyond = 0
    largest = 0.0
    for media in track(_media(model, modality, items), f"testing {modality}s", total=len(items), each=BATCH):
        wanted = tower(*(x.to(device) for x in media)).codes.float().cpu().numpy()
        values = exported.values(modality, tuple(x.numpy() for x in media))
        other = signs(wanted) != signs(values)
        count, bits, differ = count + len(wanted), bits + wanted.size, differ + int(other.sum())
        beyond += int((np.abs(wanted[other]) > ROUNDING).sum())
        largest = max(largest, float(np.abs(wanted - values).max()))
    return Agreement(count, bits, differ, beyond, largest)


def _media(model: TorchEncoder, modality: Modality, items: Sequence[Item]) -> Iterator[tuple[Tensor, ...]]:
    """Items as a tower's arguments, a batch at a time."""
    reader: Reader
    if modality == "text":
        assert model.twin.settings.text is not None
        reader = TextReader([item.transcript or "" for item in items], model.twin.settings.text)
    else:
        reader = media_reader(model.twin, modality, [Path(str(item.path)) for item in items])
    for start in range(0, len(items), BATCH):
        yield reader.collate([reader(row) for row in range(start, min(start + BATCH, len(items)))])


def _batches(model: TorchEncoder, modality: Modality, items: Sequence[Item]) -> Iterator[dict[str, NDArray[Any]]]:
    """The items of a modality as a network's inputs by name."""
    for media in _media(model, modality, [item for item in items if item.modality == modality]):
        yield {name: x.numpy() for name, x in zip(INPUTS[modality], media, strict=True)}


def _reads(twin: DualEncoder, modality: Modality) -> dict[str, Any]:
    """How files are read for a tower."""
    image, sound = twin.settings.image, twin.settings.sound
    if modality == "image":
        assert image is not None
        return {"size": image.size}
    if modality == "text":
        assert twin.settings.text is not None
        tokenizer = {} if twin.settings.text.any_language else {"tokenizer": TOKENIZER}
        return {"backbone": twin.settings.text.backbone, **tokenizer}
    assert sound is not None
    words: dict[str, Any] = {"words": True} if sound.listens else {}
    if sound.listens and sound.prompt:
        ears = Transcriber(any_language=_vectors(twin), prompt=sound.prompt)
        words |= {"prompt": sound.prompt, "prompt_tokens": ears.prompt_tokens}
    words |= {"hypotheses": sound.hypotheses} if sound.listens and sound.hypotheses > 1 else {}
    words |= {"utterance": UTTERANCE} if sound.utterance else {}
    return {"sample_rate": sound.features.sample_rate, "max_seconds": sound.max_seconds, **words}


def _vectors(twin: DualEncoder) -> bool:
    """Whether the text tower takes vectors, where others take token numbers."""
    return twin.settings.text is not None and twin.settings.text.any_language


def _example(twin: DualEncoder, modality: Modality) -> tuple[Tensor, ...]:
    """Two items' worth of input, to trace a tower with."""
    reads = _reads(twin, modality)
    if modality == "image":
        return (torch.zeros(2, 3, reads["size"], reads["size"], dtype=torch.uint8),)
    if modality == "text":
        rows = torch.ones(2, WIDTH) if _vectors(twin) else torch.ones(2, 9, dtype=torch.int64)
        return rows, torch.tensor([9, 4])
    samples = 2 * reads["sample_rate"]
    return torch.zeros(2, samples), torch.tensor([samples, samples // 2])


def _onnx(twin: DualEncoder, modality: Modality) -> bytes:
    """A tower as ONNX; the number of items, and of samples, may be any."""
    free = torch.export.Dim.DYNAMIC
    shapes = [{0: free}] if modality == "image" else [{0: free, 1: free}, {0: free}]
    if modality == "text" and _vectors(twin):
        shapes[0] = {0: free}
    sound = twin.settings.sound
    sentences = modality == "text" and sound is not None and sound.utterance
    names = [*OUTPUTS[modality], *(["vectors"] if sentences else [])]
    network = _Codes(twin.tower(modality), sentences=sentences)
    return traced(network, _example(twin, modality), INPUTS[modality], names, (tuple(shapes),), modality)


def _of_sentences(tower: Tower) -> bytes:
    """The head of the text tower as ONNX."""
    shapes = ({0: torch.export.Dim.DYNAMIC},)
    return traced(_OfSentences(tower), (torch.zeros(2, WIDTH),), ["sentences"], OUTPUTS["text"], shapes, "sound")


def traced(
    network: nn.Module, example: tuple[Tensor, ...], inputs: list[str], outputs: list[str], shapes: tuple[Any, ...],
    name: str,
) -> bytes:  # fmt: skip
    """A network as ONNX, without tracebacks in it.

    Args:
        network: Is put in evaluation mode.
        example: Its arguments, to trace it with.
        inputs: Their names.
        outputs: Names of what it gives.
        shapes: Of each argument, which of its sizes may be any.
        name: Of what it is a network, for messages.

    Raises:
        RunError: It can't be exported.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            program = torch.onnx.export(
                network.eval(), example, dynamo=True, input_names=inputs, output_names=outputs,
                dynamic_shapes=shapes, opset_version=OPSET, verbose=False,
            )  # fmt: skip
        except Exception as error:  # the exporter follows the network's own code
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise RunError(f"the {name} tower can't be exported ({reason}); train one with another backbone") from error
    assert program is not None
    proto = program.model_proto
    graph = proto.graph
    for part in (proto, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del part.metadata_props[:]  # tracebacks, with the paths of source files
    data: bytes = proto.SerializeToString(deterministic=True)
    return data


def _write_meta(folder: Path, meta: dict[str, Any]) -> None:
    write_text(folder / EXPORTED, json.dumps(meta, indent=2) + "\n")


def _copy_run(model: TorchEncoder, new: Path, out: Path) -> None:
    """The run's settings and record, so that an exported model can be evaluated, and believed, as the run can."""
    write_config(model.config, new / CONFIG)
    if model.confidence is not None:
        model.confidence.write(new)
    run = read_run(model.path)
    folders = [relative(folder, out) for folder in data_folders(model.path)]
    data = folders if len(folders) > 1 else folders[0]
    write_text(new / RUN, json.dumps({**run, "data": data}, indent=2) + "\n")


def requirements(text: TextTower | None = None) -> list[str]:
    """The packages of a search node with dtbh's own bounds, as pip wants them; dtbh itself goes in by --no-deps.

    Args:
        text: The model's text tower, which may want what an extra brings.
    """
    extras = (None, "languages") if text is not None and text.any_language else (None,)
    return [package.requirement for package in declared() if package.extra in extras]
