"""Distances of many codes to two queries at once, by look-ups of half bytes, for processors with AVX2.

AVX2 has no population count, but one instruction looks 32 half bytes up in a table of 16. So each query gets a table
for each half byte of a code: how many of its bits differ, for each of 16 values. Codes are put in planes first, the
same half byte of 128 codes together, which pays from a few queries on. The idea of such tables is that of the fast
scan of product quantisers (Andre et al., VLDB 2015); here nothing is rounded, as distances are whole numbers.

Distances are bytes that stop at 255. Where AVX-512 counts bits, this is not used. Importing this needs numba; as to
numba's cache see `vectors`.
"""

from __future__ import annotations

import functools
import platform
from typing import Any

import numpy as np
from llvmlite import binding, ir  # type: ignore[import-untyped]
from numba import config, types
from numpy.typing import NDArray

from dtbh.index.hamming.vectors import WORD, call, cgutils, inlined
from dtbh.index.hamming.weighing import weighed

TOGETHER = 128  # codes that `close` looks at, and of which `spread` wants a multiple
SIDE = 32  # bytes in a vector
VECTORS = TOGETHER // SIDE
HALVES = 16  # half bytes of a word
MOST = 255  # distances stop here
BYTE = ir.IntType(8)
BYTES = ir.VectorType(BYTE, SIDE)
INDEX = ir.IntType(32)


@functools.cache
def usable() -> bool:
    """Whether what numba compiles for has AVX2, so that half bytes can be looked up."""
    return platform.machine().lower() in ("x86_64", "amd64") and _has("avx2")


@functools.cache
def quickest() -> bool:
    """Whether it has no population count in vectors either, which would be quicker."""
    return usable() and not _has("avx512vpopcntdq")


def _has(feature: str) -> bool:
    """Numba compiles for this processor, or for what NUMBA_CPU_NAME and NUMBA_CPU_FEATURES say."""
    told: str | None = config.CPU_FEATURES  # type: ignore[attr-defined]
    if told is None:
        return bool(binding.get_host_cpu_features().get(feature))
    return f"+{feature}" in told.split(",")


def tables(asked: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """What each half byte of a code adds to the distance, for each of its values: uint8 [q, 16 w, 16].

    Of queries uint64 [q, 1 + levels, w] as `weighing` has them.
    """
    whole = np.ascontiguousarray(asked).view(np.uint8)
    halves = np.stack([whole & 15, whole >> 4], axis=-1).reshape(*asked.shape[:2], HALVES * asked.shape[2], 1)
    return weighed(halves[:, 0] ^ np.arange(16, dtype=np.uint8), halves[:, 1:].swapaxes(0, 1)).astype(np.uint8)


@inlined
def spread(typing: Any, codes: Any, count: Any, planes: Any, width: Any) -> Any:
    """Put ``count`` codes, a multiple of 128, in planes: of each 128 codes in turn their half bytes, one by one.

    Args (in compiled code): address of the codes, their count, an address that takes 16 bytes for each of their
    words, and a tuple with as many values as a code has words.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        words = signature.args[3].count
        each = ir.Constant(WORD, SIDE)
        with cgutils.for_range(builder, builder.udiv(args[1], each)) as group:
            part, vector = (op(group.index, ir.Constant(WORD, VECTORS)) for op in (builder.udiv, builder.urem))
            source = moved(builder, args[0], group.index, 8 * SIDE * words)
            target = moved(builder, args[2], part, HALVES * TOGETHER * words)
            target = moved(builder, target, vector, SIDE)
            with cgutils.for_range(builder, ir.Constant(WORD, words)) as word:
                here = moved(builder, source, word.index, 8)
                planes = moved(builder, target, word.index, HALVES * TOGETHER)
                for place, whole in enumerate(transposed(builder, here, words)):
                    fifteen, four = (ir.Constant(BYTES, [value] * SIDE) for value in (15, 4))
                    for half, value in enumerate((whole, builder.lshr(whole, four))):
                        to = builder.add(planes, ir.Constant(WORD, (2 * place + half) * TOGETHER))
                        builder.store(builder.and_(value, fifteen), pointer(builder, to, BYTES), align=1)
        return context.get_dummy_value()

    return types.void(codes, count, planes, width), generate


@inlined
def close(typing: Any, one: Any, other: Any, planes: Any, limit: Any, bound: Any, width: Any) -> Any:
    """Which of two groups of 64 codes hold one nearer than a limit: bits 0 and 1 of the first query, 2 and 3 the other.

    Where after some words nothing can be near enough any more, the others are not looked at.

    Args (in compiled code): addresses of both queries' tables, address of the planes of 128 codes, both limits, at
    most 255, and a tuple with as many values as a code has words.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        words = signature.args[5].count
        limits = [_filled(builder, builder.trunc(value, BYTE)) for value in args[3:5]]
        sums = [[cgutils.alloca_once_value(builder, ir.Constant(BYTES, [0] * SIDE)) for _ in range(VECTORS)]
                for _ in range(2)]  # fmt: skip
        found = cgutils.alloca_once_value(builder, ir.Constant(WORD, 0))
        place = cgutils.alloca_once_value(builder, ir.Constant(WORD, 0))
        body, more, last, end = (builder.append_basic_block(name) for name in ("word", "more", "last", "end"))
        builder.branch(body)
        builder.position_at_end(body)
        word = builder.load(place)
        here = moved(builder, args[2], word, HALVES * TOGETHER)
        looked_up = [moved(builder, args[query], word, 16 * HALVES) for query in range(2)]
        current = [[builder.load(total) for total in row] for row in sums]
        add = "llvm.uadd.sat.v32i8" if 64 * words > MOST else None
        for half in range(HALVES):
            chosen = [table_of(builder, table, half) for table in looked_up]
            for vector in range(VECTORS):
                at = builder.add(here, ir.Constant(WORD, TOGETHER * half + SIDE * vector))
                values = builder.load(pointer(builder, at, BYTES), align=1)
                for query in range(2):
                    bits = looked_up_in(builder, chosen[query], values)
                    total = current[query][vector]
                    total = call(builder, add, BYTES, total, bits) if add else builder.add(total, bits)
                    current[query][vector] = total
        for row, totals in zip(sums, current, strict=True):
            for kept, total in zip(row, totals, strict=True):
                builder.store(total, kept)
        least = [_least(builder, *totals) for totals in current]
        near = [builder.icmp_unsigned("<", value, limit) for value, limit in zip(least, limits, strict=True)]
        builder.cbranch(_any(builder, builder.or_(*near)), more, end)
        builder.position_at_end(more)
        following = builder.add(word, ir.Constant(WORD, 1))
        builder.store(following, place)
        builder.cbranch(builder.icmp_unsigned("<", following, ir.Constant(WORD, words)), body, last)
        builder.position_at_end(last)
        bits = ir.Constant(WORD, 0)
        for query in range(2):
            for group in range(2):
                pair = [builder.load(kept) for kept in sums[query][2 * group : 2 * group + 2]]
                below = builder.icmp_unsigned("<", _least(builder, *pair), limits[query])
                one_bit = builder.zext(_any(builder, below), WORD)
                bits = builder.or_(bits, builder.shl(one_bit, ir.Constant(WORD, 2 * query + group)))
        builder.store(bits, found)
        builder.branch(end)
        builder.position_at_end(end)
        return builder.load(found)

    return types.uint64(one, other, planes, limit, bound, width), generate


def transposed(builder: Any, start: Any, words: int) -> list[Any]:
    """A word of each of 32 codes as 8 vectors: the first byte of all codes, the second and so on.

    The order of the codes in a vector is always the same, and not that in which they lie.
    """
    pairs = []
    for row in range(8):
        four = ir.Constant(ir.VectorType(WORD, 4), ir.Undefined)
        if words == 1:
            at = builder.add(start, ir.Constant(WORD, 32 * row))
            four = builder.load(pointer(builder, at, four.type), align=8)
        else:
            for lane in range(4):
                at = builder.add(start, ir.Constant(WORD, (4 * row + lane) * 8 * words))
                value = builder.load(pointer(builder, at, WORD), align=8)
                four = builder.insert_element(four, value, ir.Constant(INDEX, lane))
        whole = builder.bitcast(four, BYTES)
        places = [16 * half + 8 * (i % 2) + i // 2 for half in range(2) for i in range(16)]
        pairs.append(_shuffled(builder, whole, whole, places))
    for size in (2, 4, 8):  # bytes that move together
        step = size // 2
        merged: list[Any] = [None] * 8
        for first in (row for row in range(8) if not row & step):
            low, high = (_woven(builder, pairs[first], pairs[first + step], size, upper) for upper in (False, True))
            merged[first], merged[first + step] = low, high
        pairs = merged
    order = [0, 4, 2, 6, 1, 5, 3, 7]
    return [pairs[place] for place in order]


def _woven(builder: Any, first: Any, second: Any, size: int, upper: bool) -> Any:
    """Of each half of two vectors the lower or upper parts in turns, so many bytes at a time."""
    kind = ir.VectorType(ir.IntType(8 * size), SIDE // size)
    per = 16 // size
    places = [
        per * half + (per // 2 if upper else 0) + i // 2 + (i % 2) * 2 * per for half in range(2) for i in range(per)
    ]
    return builder.bitcast(
        _shuffled(builder, builder.bitcast(first, kind), builder.bitcast(second, kind), places), BYTES
    )


def looked_up_in(builder: Any, table: Any, values: Any) -> Any:
    """What stands in a table of 16 at 32 half bytes; nothing sensible where the processor has no AVX2.

    There such code is compiled all the same, and never runs: LLVM would end the process at the instruction.
    """
    return call(builder, "llvm.x86.avx2.pshuf.b", BYTES, table, values) if usable() else values


def table_of(builder: Any, tables: Any, half: int) -> Any:
    """The table of a half byte, twice."""
    at = builder.add(tables, ir.Constant(WORD, 16 * half))
    once = builder.load(pointer(builder, at, ir.VectorType(BYTE, 16)), align=1)
    return _shuffled(builder, once, once, [*range(16)] * 2)


def _least(builder: Any, *values: Any) -> Any:
    """Byte by byte the least of some vectors."""
    least = values[0]
    for value in values[1:]:
        least = call(builder, "llvm.umin.v32i8", BYTES, least, value)
    return least


def _any(builder: Any, flags: Any) -> Any:
    return builder.icmp_unsigned("!=", builder.bitcast(flags, INDEX), ir.Constant(INDEX, 0))


def _filled(builder: Any, value: Any) -> Any:
    once = builder.insert_element(ir.Constant(BYTES, ir.Undefined), value, ir.Constant(INDEX, 0))
    return _shuffled(builder, once, once, [0] * SIDE)


def moved(builder: Any, address: Any, index: Any, size: int) -> Any:
    """The address of one of things of ``size`` bytes that lie one after the other."""
    return builder.add(address, builder.mul(index, ir.Constant(WORD, size)))


def _shuffled(builder: Any, first: Any, second: Any, places: list[int]) -> Any:
    return builder.shuffle_vector(first, second, ir.Constant(ir.VectorType(INDEX, len(places)), places))


def pointer(builder: Any, address: Any, kind: Any) -> Any:
    """An address as LLVM loads and stores by it."""
    return builder.inttoptr(address, ir.PointerType(kind))
