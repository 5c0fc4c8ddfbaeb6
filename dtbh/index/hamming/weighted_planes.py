"""Weighted distances of 64 codes to a query, by look-ups of half bytes, for processors with AVX2.

As in `planes`, but a query has a weight for each bit, and sums are of 16 bits: 8 half bytes are summed up in bytes,
which weights of at most `dtbh.codes.SUREST` don't overflow, and then go into the wider sums. Importing
this needs numba; as to its cache see `vectors`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types

from dtbh.index.hamming.planes import BYTES, HALVES, SIDE, TOGETHER, looked_up_in, moved, pointer, table_of
from dtbh.index.hamming.vectors import GROUP, WORD, call, inlined

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
        words = signature.args[3].count
        totals: list[Any] = [None] * 4
        low = ir.Constant(SHORTS, [255] * (SIDE // 2))
        eight = ir.Constant(SHORTS, [8] * (SIDE // 2))
        for first in range(0, HALVES * words, NARROW):
            narrow: list[Any] = [None, None]
            for half in range(first, first + NARROW):
                chosen = table_of(builder, args[0], half)
                for vector in range(2):
                    at = builder.add(args[1], ir.Constant(WORD, TOGETHER * half + SIDE * vector))
                    values = builder.load(pointer(builder, at, BYTES), align=1)
                    differ = looked_up_in(builder, chosen, values)
                    narrow[vector] = differ if narrow[vector] is None else builder.add(narrow[vector], differ)
            for vector, total in enumerate(narrow):
                pairs = builder.bitcast(total, SHORTS)
                for odd, part in enumerate((builder.and_(pairs, low), builder.lshr(pairs, eight))):
                    place = 2 * vector + odd
                    totals[place] = part if totals[place] is None else builder.add(totals[place], part)
        for place, total in enumerate(totals):
            to = moved(builder, args[2], ir.Constant(WORD, place), SIDE)
            builder.store(total, pointer(builder, to, SHORTS), align=2)
        least = totals[0]
        for total in totals[1:]:
            least = call(builder, "llvm.umin.v16i16", SHORTS, least, total)
        return builder.zext(call(builder, "llvm.vector.reduce.umin.v16i16", SHORT, least), WORD)

    return types.int64(table, planes, sums, width), generate
