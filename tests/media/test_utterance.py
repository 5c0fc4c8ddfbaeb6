"""What a clip says as a whole: frames as loops have them, and the network that comes with the package."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtbh.media.sound import load_sound
from dtbh.media.transcriber import RATE, Transcriber
from dtbh.media.utterance import STEP, WIDTH, Utterances, averaged
from tests.reference.utterances import averaged_by_loops


@given(st.lists(st.integers(1, 8 * STEP), min_size=1, max_size=4), st.integers(0, 2**32 - 1))
def test_frames_are_averaged_as_loops_have_it(samples, seed):
    encoded = np.random.default_rng(seed).normal(size=(len(samples), 26, WIDTH)).astype(np.float32)
    frames, lengths = averaged(encoded, np.array(samples))
    wanted = averaged_by_loops(encoded.tolist(), samples)
    assert frames.shape == (len(samples), max(map(len, wanted)), WIDTH)
    for found, length, own in zip(frames, lengths, wanted, strict=True):
        assert length == len(own)
        assert found[:length] == pytest.approx(np.array(own), abs=1e-5)


def test_a_clip_means_the_same_whatever_is_beside_it():
    rng = np.random.default_rng(0)
    encoded, samples = rng.normal(size=(5, 50, WIDTH)).astype(np.float32), np.array([9 * STEP, 100, 3 * STEP, 1, 15000])
    network = Utterances()
    together = network(encoded, samples)
    alone = np.concatenate([network(encoded[row : row + 1], samples[row : row + 1]) for row in range(5)])
    assert together == pytest.approx(alone, abs=1e-5)
    assert np.linalg.norm(together, axis=1) == pytest.approx(np.ones(5), abs=1e-5)
    encoded[1, 4:] = 7  # beyond its end
    assert network(encoded, samples)[1] == pytest.approx(together[1], abs=1e-5)


@pytest.fixture(scope="module")
def said(tmp_path_factory) -> dict[str, np.ndarray]:
    if shutil.which("flite") is None:
        pytest.skip("flite is not installed: apt-get install flite")
    folder, found = tmp_path_factory.mktemp("said"), {}
    for text in ("many boats are docked in the harbor", "there is a baseball field", "a dense green forest"):
        subprocess.run(["flite", "-voice", "slt", "-t", text, "-o", folder / "said.wav"], check=True)
        found[text] = load_sound(folder / "said.wav", sample_rate=RATE, max_seconds=15)
    return found


def test_what_is_said_is_meant_and_words_stay_the_same(said):
    sentences = pytest.importorskip("dtbh.encoders.sentence_encoder")
    torch, readers = pytest.importorskip("torch"), pytest.importorskip("dtbh.encoders.readers")
    from dtbh.config import TextTower

    encoder, reader = sentences.SentenceEncoder(pretrained=True).eval(), readers.TextReader([*said], TextTower())
    with torch.inference_mode():
        wanted = encoder(*reader.collate([reader(row) for row in range(len(said))])).numpy()
    plain, whole = Transcriber()([*said.values()]), Transcriber(utterance=True)([*said.values()])
    assert [heard[:4] for heard in plain] == [heard[:4] for heard in whole]
    meant = np.stack([heard.meaning for heard in whole])
    assert (wanted @ meant.T).argmax(axis=0).tolist() == [0, 1, 2]
    assert (wanted * meant).sum(axis=1).min() > 0.6
    assert {heard.meaning for heard in plain} == {None}
