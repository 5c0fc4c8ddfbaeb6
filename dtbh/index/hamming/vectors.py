"""Loops in LLVM's vector instructions: the least distance of many codes, and which of 64 codes lie near.

A vector holds eight words; codes have 1, 2, 4 or 8 words. As codes lie, a vector holds whole ones: it meets the query's
words over and over, and a code's sums are brought together after. For several queries codes are turned before: a
vector holds the same word of eight codes, and meets one word of the query. Where bits have weights, those that differ
are counted once for each bit of the weights, from the highest on, what was counted before being doubled. LLVM turns
``ctpop`` into VPOPCNTQ where the processor has it, and into table look-ups of bytes elsewhere. Distances are small, so
the least of two is taken of 32-bit halves and they are compared as signed: AVX2 has one instruction for each of these,
and needs four or five for unsigned words. Importing this needs numba.

Compiled code holds a copy of these: who changes this file touches the files that import it too, so that numba's cache
of them is made anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils as untyped
from numba.extending import intrinsic

LANES = 8  # words in a vector
GROUP = 64  # codes that `near` looks at, and of which `least` wants a multiple
AHEAD = 4096  # bytes: memory is asked for codes while those before them are looked at
WORD = ir.IntType(64)
VECTOR = ir.VectorType(WORD, LANES)
HALVES = ir.VectorType(ir.IntType(32), 2 * LANES)
cgutils: Any = untyped
Lanes = tuple[list[int], list[int]]
Pairing = Callable[[int], Lanes]


def inlined(typed: Any) -> Any:
    """What compiled code may call, and LLVM puts in its place."""
    return intrinsic(typed)


@inlined
def turn(typing: Any, codes: Any, count: Any, turned: Any, width: Any) -> Any:
    """Turn ``count`` codes, a multiple of 8: first words of the first eight, their second words and so on.

    Args (in compiled code): address of the codes, their count, an address that takes as many words, and a tuple with as
    many values as a code has words.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        words = signature.args[3].count
        with cgutils.for_range(builder, builder.udiv(args[1], ir.Constant(WORD, LANES))) as loop:
            passed = builder.mul(loop.index, ir.Constant(WORD, 8 * LANES * words))
            source, target = builder.add(args[0], passed), builder.add(args[2], passed)
            fetch(builder, source, words)
            groups = [[_load(builder, source, place) for place in range(words)]]
            while len(groups) < words:
                groups = [side for vectors in groups for side in _sides(builder, vectors)]
            for place, group in enumerate(groups):
                word = int(f"{place:0{words.bit_length() - 1}b}"[::-1], 2)
                builder.store(group[0], _pointer(builder, target, word), align=8)
        return context.get_dummy_value()

    return types.void(codes, count, turned, width), generate


@inlined
def least(typing: Any, query: Any, codes: Any, count: Any, width: Any, levels: Any, turned: Any) -> Any:
    """The least distance of ``count`` codes, a multiple of 64.

    Args (in compiled code): address of the query's words, followed by those of each bit of the weights, from the
    highest on, which tell the bits whose weights have it; address of the codes; their count; a tuple with as many
    values as a code has words; one with as many as a weight has bits, none where all weigh alike; and one with a value
    where codes are turned.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        words, levels = signature.args[3].count, signature.args[4].count
        patterns = _patterns(builder, args[0], words, levels, turned=signature.args[5].count)
        beyond = (1 << max(1, levels)) * 64 * LANES
        best = [cgutils.alloca_once_value(builder, _constant(beyond)) for _ in range(2)]
        step = ir.Constant(WORD, GROUP)
        with cgutils.for_range(builder, builder.udiv(args[2], step)) as loop:
            start = builder.add(args[1], builder.mul(loop.index, ir.Constant(WORD, 8 * GROUP * words)))
            for part in range(GROUP // LANES):
                if not signature.args[5].count:
                    fetch(builder, builder.add(start, ir.Constant(WORD, 8 * LANES * words * part)), words)
                here = _distances(builder, start, part, words, patterns, _by_lanes)
                kept = best[part % 2]
                builder.store(_least(builder, builder.load(kept), here), kept)
        both = _least(builder, *map(builder.load, best))
        return call(builder, "llvm.vector.reduce.umin.v8i64", WORD, both)

    return types.int64(query, codes, count, width, levels, turned), generate


@inlined
def near(typing: Any, query: Any, codes: Any, limit: Any, out: Any, width: Any, levels: Any, turned: Any) -> Any:
    """Of 64 codes those nearer than ``limit``, as the bits of one word, code i as bit i.

    Args (in compiled code): address of the query's words, as of `least`; address of the codes; the limit; an address
    that takes the 64 distances (uint64); and the tuples of `least`.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        words, levels = signature.args[4].count, signature.args[5].count
        patterns = _patterns(builder, args[0], words, levels, turned=signature.args[6].count)
        bits = ir.Constant(WORD, 0)
        limits = _vector(builder, [args[2]] * LANES)
        for part in range(GROUP // LANES):
            here = _distances(builder, args[1], part, words, patterns, _in_order)
            builder.store(here, _pointer(builder, args[3], part), align=8)
            below = builder.bitcast(builder.icmp_signed("<", here, limits), ir.IntType(LANES))
            place = ir.Constant(WORD, LANES * part)
            bits = builder.or_(bits, builder.shl(builder.zext(below, WORD), place))
        return bits

    return types.uint64(query, codes, limit, out, width, levels, turned), generate


@inlined
def lowest_bit(typing: Any, word: Any) -> Any:
    """The place of the lowest bit that is set; the word is not 0."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), generate


@inlined
def ones(typing: Any, word: Any) -> Any:
    """How many bits of a word are set."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return types.uint64(types.uint64), generate


def _patterns(builder: Any, start: Any, words: int, levels: int, *, turned: int) -> list[list[Any]]:
    """What codes meet: the query's words and those of its weights' bits, in one vector, or in one each."""
    patterns = []
    for level in range(1 + levels):
        own = [builder.load(_pointer(builder, start, words * level + word, WORD), align=8) for word in range(words)]
        lanes = [[word] * LANES for word in own] if turned else [own * (LANES // words)]
        patterns.append([_vector(builder, of_lanes) for of_lanes in lanes])
    return patterns


def _distances(builder: Any, start: Any, part: int, words: int, patterns: list[list[Any]], pair: Pairing) -> Any:
    """Distances of the 8 codes of this part; as codes lie, sums of their words are brought together pair by pair."""
    codes = [_load(builder, start, words * part + place) for place in range(words)]
    if len(patterns[0]) == words:  # turned, or of one word
        return _counted(builder, codes, patterns)
    vectors = [_counted(builder, [code], patterns) for code in codes]
    apart = 1
    while len(vectors) > 1:
        sides = [[_shuffled(builder, a, b, places) for places in pair(apart)]
                 for a, b in zip(vectors[::2], vectors[1::2], strict=True)]  # fmt: skip
        vectors, apart = [builder.add(*two) for two in sides], 2 * apart
    return vectors[0]


def _counted(builder: Any, codes: list[Any], patterns: list[list[Any]]) -> Any:
    """How many bits differ in each lane of some vectors, summed up by their weights."""
    differ = [builder.xor(*two) for two in zip(codes, patterns[0], strict=True)]
    weighed = [[builder.and_(*two) for two in zip(differ, level, strict=True)] for level in patterns[1:]]
    total = None
    for level in weighed or [differ]:
        total = None if total is None else builder.add(total, total)
        for bits in level:
            ones_here = call(builder, "llvm.ctpop.v8i64", VECTOR, bits)
            total = ones_here if total is None else builder.add(total, ones_here)
    return total


def _in_order(_: int) -> Lanes:
    """Of two vectors, 16 lanes, the even ones and the odd ones: codes stay in their order."""
    return list(range(0, 2 * LANES, 2)), list(range(1, 2 * LANES, 2))


def _by_lanes(apart: int) -> Lanes:
    """Of two vectors the lanes to be added that lie so far apart, moved the least: codes lose their order.

    Within 128 bits it is one instruction a side, where keeping the order takes two or three.
    """
    low = [lane if not lane & apart else LANES + lane - apart for lane in range(LANES)]
    return low, [lane + apart for lane in low]


def _sides(builder: Any, vectors: list[Any]) -> list[list[Any]]:
    """Of all lanes the even ones and the odd ones."""
    pairs = [*zip(vectors[::2], vectors[1::2], strict=True)]
    return [[_shuffled(builder, *two, places) for two in pairs] for places in _in_order(1)]


def _least(builder: Any, *distances: Any) -> Any:
    """Lane by lane the less of two distances, of which the high halves are 0."""
    halves = (builder.bitcast(one, HALVES) for one in distances)
    return builder.bitcast(call(builder, "llvm.umin.v16i32", HALVES, *halves), VECTOR)


def fetch(builder: Any, address: Any, lines: int) -> None:
    """Have the memory bring so many lines of 64 bytes that lie AHEAD of an address."""
    for place in range(lines):
        ahead = builder.add(address, ir.Constant(WORD, AHEAD + 64 * place))
        line = builder.inttoptr(ahead, ir.PointerType(ir.IntType(8)))
        options = [ir.Constant(ir.IntType(32), value) for value in (0, 3, 1)]  # to be read, soon and often, data
        call(builder, "llvm.prefetch.p0", ir.VoidType(), line, *options)


def _shuffled(builder: Any, first: Any, second: Any, places: list[int]) -> Any:
    """The lanes at these places, of which the second vector's follow the first's."""
    return builder.shuffle_vector(first, second, ir.Constant(ir.VectorType(ir.IntType(32), LANES), places))


def _pointer(builder: Any, address: Any, place: int, kind: Any = VECTOR) -> Any:
    """The address of one of the words, or vectors, that lie from an address on."""
    size = 8 if kind is WORD else 8 * LANES
    return builder.inttoptr(builder.add(address, ir.Constant(WORD, size * place)), ir.PointerType(kind))


def _load(builder: Any, address: Any, vector: int) -> Any:
    return builder.load(_pointer(builder, address, vector), align=8)


def _vector(builder: Any, words: list[Any]) -> Any:
    """A vector of eight words."""
    vector = ir.Constant(VECTOR, ir.Undefined)
    for lane, word in enumerate(words):
        vector = builder.insert_element(vector, word, ir.Constant(ir.IntType(32), lane))
    return vector


def _constant(value: int) -> Any:
    return ir.Constant(VECTOR, [value] * LANES)


def call(builder: Any, name: str, result: Any, *args: Any) -> Any:
    """Call a function of LLVM by its name."""
    kind = ir.FunctionType(result, [arg.type for arg in args])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), args)
