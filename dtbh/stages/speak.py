"""Speech: the captions of a manifest as clips, in many voices.

Voice, rate and pitch of a clip follow from the seed and the names of the item and its pair alone; each group of voices
gets its even share of every class, so that holding back voices for testing (``dtbh.data.splits`` does that, by speaker)
leaves no class without sounds.
"""

from __future__ import annotations

import hashlib
import pickle
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

from dtbh.data.manifest import Item, Manifest, read_manifest, write_manifest
from dtbh.data.paraphrases import paraphrased
from dtbh.data.speech.clips import FORMATS
from dtbh.data.speech.engines import VOICES, Engine, Voice, check_engine
from dtbh.data.speech.synthesis import Shard, Utterance, cut, speak_shards
from dtbh.errors import ConfigError, DataError
from dtbh.utils.device import cores
from dtbh.utils.files import file_lock
from dtbh.utils.interrupts import kept
from dtbh.utils.progress import echo, track

RATES = (130, 210)
PITCHES = (35, 65)
_SHARD = re.compile(r"\d{4}-[0-9a-f]{12}")


def speak(
    data: str | Path,
    *,
    engine: str | Engine = "espeak",
    voices: int | Sequence[str] = 40,
    seed: int = 0,
    suffix: str = "flac",
    paraphrases: int = 0,
    workers: int | None = None,
) -> Manifest:
    """Speak the captions of ``data`` into ``data/sounds`` and write their paths into the manifest.

    Clips are 16 kHz mono, without silence at the ends, at a peak of -3 dBFS. The same arguments on the same
    captions give the same bytes. A call that was cut off goes on where it was; one with other arguments
    speaks again; one with nothing to do does nothing. The manifest changes last, so the old clips stay in
    use until all new ones are there. Sounds that were recorded, and have a path, stay as they are.

    Args:
        data: The folder with the manifest.
        engine: ``"espeak"``, ``"espeak-ng"``, ``"flite"``, or a function of one's own, at the top level of a
            module (see ``dtbh.data.speech.engines.Engine``); its speakers are called after it.
        voices: The engine's names of voices, or a number: at most so many of those in
            ``dtbh.data.speech.engines.VOICES``.
        seed: Another seed gives other voices, rates and pitches.
        suffix: ``"flac"``, or ``"opus"`` (in an Ogg container, a fifth of the size).
        paraphrases: How many other ways of saying each caption are spoken with it, for training alone
            (see ``dtbh.data.paraphrases``); those of an earlier call go.
        workers: How many processes; the number of cores where None.

    Returns:
        The manifest as written: every sound has a path, and those spoken have a speaker.

    Raises:
        ConfigError: An argument is out of range.
        DataError: No manifest, sounds with neither a path nor words (all are listed), or another process
            is speaking this folder.
        MediaError: The engine can't speak a clip; names the item and the voice.
        MissingExtraError: The engine's package is not installed.
        DtbhError: The engine's program is missing, or the disk is full. Whole shards stay for the next call.
    """
    name, chosen = _voices(engine, voices)
    _check(engine, suffix, workers)
    with _alone(Path(data)) as sounds:
        before = read_manifest(data)
        manifest = paraphrased(before, paraphrases, seed=seed)
        settings = {"engine": name, "voices": [v.name for v in chosen], "seed": seed, "suffix": suffix,
                    "paraphrases": paraphrases}  # fmt: skip
        todo = [item for item in manifest.sounds if item.path is None or _ours(item)]
        _check_words(manifest.root, todo)
        shards = cut([utterance(item, chosen, seed) for item in todo], suffix)
        missing = [shard for shard in shards if not shard.complete(sounds)]
        spoken = _with_paths(manifest, shards, settings)
        if not missing and spoken == before:
            echo(f"{manifest.root}: all {len(manifest.sounds)} sounds have their clips; nothing to speak")
            return before
        total = sum(len(shard.utterances) for shard in missing)
        workers = min(workers or cores(), max(1, len(missing)))
        if total:
            said = f"speaking {total} sounds in {len(chosen)} voices of {name}"
            echo(f"{said}, in {workers} processes on the CPU", event="start")
        clips = speak_shards(missing, sounds, engine=engine, workers=workers)
        with kept("whole shards of clips are kept, and the same call goes on from there"), closing(clips):
            for _ in track(clips, "speaking", total=total):
                pass
        write_manifest(spoken)
        _clear(sounds, keep={shard.name for shard in shards})
        return spoken


GROUPS = 10  # of voices, at most; each group has two voices at least


def utterance(item: Item, voices: Sequence[Voice], seed: int) -> Utterance:
    """How a sound is spoken, drawn from the seed and the names of the item and its pair alone.

    Voices come in groups, and all sounds of a pair are spoken by one group. So images can be parted by the
    voices that describe them, which the protocol ``speaker-disjoint`` of ``dtbh.data.splits`` does.
    """
    groups = max(1, min(GROUPS, len(voices) // 2))
    group = _drawn(f"{seed} group {item.pair or item.id}")[0] % groups
    own = voices[group::groups]
    voice, rate, pitch = _drawn(f"{seed} {item.id}")
    return Utterance(
        id=item.id,
        text=item.transcript or "",
        voice=own[voice % len(own)],
        rate=RATES[0] + rate % (RATES[1] - RATES[0] + 1),
        pitch=PITCHES[0] + pitch % (PITCHES[1] - PITCHES[0] + 1),
    )


def _drawn(name: str) -> tuple[int, int, int]:
    """Three large numbers that depend on the name alone."""
    digest = hashlib.sha256(name.encode()).digest()
    return (
        int.from_bytes(digest[:8], "big"),
        int.from_bytes(digest[8:16], "big"),
        int.from_bytes(digest[16:24], "big"),
    )


def _voices(engine: str | Engine, voices: int | Sequence[str]) -> tuple[str, tuple[Voice, ...]]:
    """The engine's name and the voices that shall speak."""
    name = engine if isinstance(engine, str) else getattr(engine, "__name__", type(engine).__name__)
    if isinstance(engine, str):
        check_engine(engine)
    if isinstance(voices, int):
        if not isinstance(engine, str):
            raise ConfigError(f"voices: name the voices of {name}, a number will do for built-in engines only")
        if voices < 1:
            raise ConfigError(f"voices: at least 1 is wanted, found {voices}")
        voices = VOICES[engine][:voices]
    elif isinstance(voices, str) or not voices or len(set(voices)) < len(voices):
        raise ConfigError(f"voices: a number or a list of different names is wanted, found {voices!r}")
    return name, tuple(Voice(name, voice) for voice in voices)


def _check(engine: str | Engine, suffix: str, workers: int | None) -> None:
    if suffix not in FORMATS:
        raise ConfigError(f"suffix: {' or '.join(FORMATS)} is wanted, found {suffix!r}")
    if workers is not None and workers < 1:
        raise ConfigError(f"workers: at least 1 is wanted, found {workers}")
    try:
        pickle.dumps(engine)  # how it gets to its process; nothing is written
    except (pickle.PicklingError, AttributeError, TypeError):
        raise ConfigError(
            f"engine: {engine!r} can't be given to another process; define it at the top level of a module"
        ) from None


def _check_words(root: Path, todo: Sequence[Item]) -> None:
    problems = [
        f"sound {item.id}: its transcript is {'missing' if item.transcript is None else 'empty'}"
        for item in todo
        if not item.transcript or not re.search(r"\w", item.transcript)
    ]
    if problems:
        raise DataError(
            f"{root}: {len(problems)} sounds have no file and no words to speak; add either and run dtbh prepare again",
            problems,
        )


def _ours(item: Item) -> bool:
    """Whether an item's clip was spoken here, and may be spoken again."""
    parts = Path(item.path or "").parts
    return len(parts) == 3 and parts[0] == "sounds" and _SHARD.fullmatch(parts[1]) is not None


def _with_paths(manifest: Manifest, shards: Sequence[Shard], settings: dict[str, object]) -> Manifest:
    """The manifest with the path and the speaker of every clip, and how they were spoken."""
    spoken = {
        said.id: (f"sounds/{shard.name}/{file}", said.voice.speaker)
        for shard in shards
        for said, file in zip(shard.utterances, shard.files, strict=True)
    }
    items = tuple(
        replace(item, path=spoken[item.id][0], speaker=spoken[item.id][1]) if item.id in spoken else item
        for item in manifest
    )
    if not spoken:
        return manifest
    return replace(manifest, items=items, settings={**manifest.settings, "speech": settings})


@contextmanager
def _alone(data: Path) -> Iterator[Path]:
    """The folder of sounds, locked for this process, and swept of what a killed one left."""
    read_manifest(data)  # before a folder is made where none belongs
    sounds = (data if data.is_dir() else data.parent) / "sounds"
    sounds.mkdir(exist_ok=True)
    with file_lock(sounds, "speaking"):
        for left in sounds.glob(".*"):
            if _SHARD.match(left.name, 1):
                shutil.rmtree(left, ignore_errors=True)
        yield sounds


def _clear(sounds: Path, *, keep: set[str]) -> None:
    """Remove the shards that the manifest no longer names."""
    for folder in sounds.iterdir():
        if _SHARD.fullmatch(folder.name) and folder.name not in keep:
            shutil.rmtree(folder)
