"""The least weighted distance of 64 codes to a query, by look-ups of half bytes, for processors with AVX2.

As in `planes`, but a query has a weight for each bit, and sums are of 16 bits: 8 half bytes are summed up in bytes,
which weights of at most `dtbh.codes.SUREST` don't overflow, and then go into the wider sums. Importing
this needs numba; as to its cache see `vectors`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types

from dtbh.index.hamming.planes import BYTES, HALVES, SIDE, TOGETHER, looked_up_in, pointer, table_of, transposed
from dtbh.index.hamming.vectors import GROUP, WORD, call, fetch, inlined

NARROW = 8  # half bytes whose sum a byte holds
SHORT = ir.IntType(16)
SHORTS = ir.VectorType(SHORT, SIDE // 2)


@inlined
def weigh(typing: Any, table: Any, planes: Any, width: Any) -> Any:
    """The least distance of 64 codes.

    Args (in compiled code): address of the query's tables, uint8 [16 w, 16]; address of the codes' first half bytes in
    the planes that `planes.spread` makes; and a tuple with as many values as a code has words.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def half_byte(half: int, vector: int) -> Any:
            at = builder.add(args[1], ir.Constant(WORD, TOGETHER * half + SIDE * vector))
            return builder.load(pointer(builder, at, BYTES), align=1)

        return _least(builder, _sums(builder, args[0], signature.args[2].count, half_byte))

    return types.int64(table, planes, width), generate


@inlined
def weigh_once(typing: Any, table: Any, codes: Any, width: Any) -> Any:
    """As `weigh`, of codes as they lie: for one query, where it does not pay to put them in planes.

    Args (in compiled code): as those of `weigh`, but the address of the codes.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        words = signature.args[2].count
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

        return _least(builder, _sums(builder, args[0], words, half_byte))

    return types.int64(table, codes, width), generate


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


def _least(builder: Any, totals: list[Any]) -> Any:
    """The least of all sums."""
    least = totals[0]
    for total in totals[1:]:
        least = call(builder, "llvm.umin.v16i16", SHORTS, least, total)
    return builder.zext(call(builder, "llvm.vector.reduce.umin.v16i16", SHORT, least), WORD)
