"""Weighted distances of 64 codes to a query, by look-ups of half bytes, for processors with AVX2.

As in `planes`, but a query has a weight for each bit, and sums are of 16 bits: 8 half bytes are summed up in bytes,
which weights of at most `dtbh.codes.SUREST` don't overflow, and then go into the wider sums. Importing
this needs numba; as to its cache see `vectors`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types

from dtbh.index.hamming.planes import BYTES, HALVES, SIDE, TOGETHER, looked_up_in, moved, pointer, table_of, transposed
from dtbh.index.hamming.vectors import GROUP, WORD, call, fetch, inlined

NARROW = 8  # half bytes whose sum a byte holds
SHORT = ir.IntType(16)
SHORTS = ir.VectorType(SHORT, SIDE // 2)
_LANE, _ROW = np.arange(GROUP) % 4, np.arange(GROUP) % SIDE // 4
ORDER = (np.arange(GROUP) // SIDE * SIDE + _LANE % 2 * (SIDE // 2) + _LANE // 2 * 8 + _ROW).astype(np.int64)
"""Where among the sums of `weigh` that of each of the 64 codes lies."""


@inlined
def weigh(typing: Any, table: Any, planes: Any, sums: Any, width: Any) -> Any:
    """The least distance of 64 codes; all of them are stored, in the order of `ORDER`.

    Args (in compiled code): address of the query's tables, uint8 [16 w, 16]; address of the codes' first half bytes in
    the planes that `planes.spread` makes; an address that takes 64 sums, uint16; and a tuple with as many values as a
    code has words.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def half_byte(half: int, vector: int) -> Any:
            at = builder.add(args[1], ir.Constant(WORD, TOGETHER * half + SIDE * vector))
            return builder.load(pointer(builder, at, BYTES), align=1)

        words = signature.args[3].count
        return _stored(builder, _sums(builder, args[0], words, half_byte), args[2])

    return types.int64(table, planes, sums, width), generate


@inlined
def weigh_once(typing: Any, table: Any, codes: Any, sums: Any, width: Any) -> Any:
    """As `weigh`, of codes as they lie: for one query, where it does not pay to put them in planes.

    Args (in compiled code): as those of `weigh`, but the address of the codes.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        words = signature.args[3].count
        fetch(builder, args[1], GROUP * words // 8)
        fifteen, four = (ir.Constant(BYTES, [value] * SIDE) for value in (15, 4))
        found: dict[tuple[int, int], list[Any]] = {}

        def half_byte(half: int, vector: int) -> Any:
            word, place = divmod(half, HALVES)
            if (word, vector) not in found:
                at = builder.add(args[1], ir.Constant(WORD, 8 * (SIDE * words * vector + word)))
                found[word, vector] = transposed(builder, at, words)
            whole = found[word, vector][place // 2]
            return builder.and_(builder.lshr(whole, four) if place % 2 else whole, fifteen)

        return _stored(builder, _sums(builder, args[0], words, half_byte), args[2])

    return types.int64(table, codes, sums, width), generate


def _sums(builder: Any, table: Any, words: int, half_byte: Callable[[int, int], Any]) -> list[Any]:
    """The distances of 64 codes, of which ``half_byte`` gives each half byte, of one 32 and of the others."""
    totals: list[Any] = [None] * 4
    low, eight = (ir.Constant(SHORTS, [value] * (SIDE // 2)) for value in (255, 8))
    for first in range(0, HALVES * words, NARROW):
        narrow: list[Any] = [None, None]
        for half in range(first, first + NARROW):
            chosen = table_of(builder, table, half)
            for vector in range(2):
                differ = looked_up_in(builder, chosen, half_byte(half, vector))
                narrow[vector] = differ if narrow[vector] is None else builder.add(narrow[vector], differ)
        for vector, total in enumerate(narrow):
            pairs = builder.bitcast(total, SHORTS)
            for odd, part in enumerate((builder.and_(pairs, low), builder.lshr(pairs, eight))):
                place = 2 * vector + odd
                totals[place] = part if totals[place] is None else builder.add(totals[place], part)
    return totals


def _stored(builder: Any, totals: list[Any], sums: Any) -> Any:
    """The least of the distances, which are stored."""
    least = totals[0]
    for place, total in enumerate(totals):
        to = moved(builder, sums, ir.Constant(WORD, place), SIDE)
        builder.store(total, pointer(builder, to, SHORTS), align=2)
        least = call(builder, "llvm.umin.v16i16", SHORTS, least, total)
    return builder.zext(call(builder, "llvm.vector.reduce.umin.v16i16", SHORT, least), WORD)
