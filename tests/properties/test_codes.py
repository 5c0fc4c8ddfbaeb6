"""Packing gives back the bits, and puts each where the format says."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dtbh.codes import HashCodes, pack, read_codes, signs, unpack, write_codes
from dtbh.data.manifest import Item
from tests.reference.hamming import code_of, code_of_words


@st.composite
def bit_arrays(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return rng.random((draw(st.integers(0, 9)), draw(st.integers(1, 200)))) < 0.5


@given(bit_arrays())
@settings(max_examples=150)
def test_unpack_gives_back_the_bits(bits):
    words = pack(bits)
    assert words.shape == (len(bits), (bits.shape[1] + 63) // 64)
    assert (unpack(words, bits.shape[1]) == bits).all()


@given(bit_arrays())
@settings(max_examples=60)
def test_bit_j_is_bit_j_mod_64_of_word_j_div_64(bits):
    assert [code_of_words(code) for code in pack(bits)] == [code_of(code) for code in bits]


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=30))
def test_a_sign_is_not_negative(values):
    assert signs(values).tolist() == [not value < 0 for value in values]


TEXT = st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"]), max_size=12))


@given(bit_arrays(), st.data())
@settings(max_examples=25, deadline=None)
def test_a_folder_gives_back_the_codes(tmp_path_factory, bits, data):
    folder = tmp_path_factory.getbasetemp() / "codes"
    fields = st.dictionaries(st.sampled_from(["sensor", "étage"]), st.text(max_size=5).filter(str.isprintable))
    items = tuple(
        Item(
            f"é{row}\u2028",
            "sound",
            f"/media/{row}.wav",
            transcript=data.draw(TEXT),
            label=data.draw(TEXT),
            window=data.draw(st.sampled_from([None, (0.5, 8.0)])),
            fields=data.draw(fields),
        )
        for row in range(len(bits))
    )
    codes = HashCodes(pack(bits), bits.shape[1], "e1", items)
    back = read_codes(write_codes(codes, folder))
    assert (back.words == codes.words).all()
    assert (back.bits, back.encoder, back.items) == (codes.bits, "e1", items)
