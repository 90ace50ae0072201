"""Damages files as an attacker would: where their structure is, and not only anywhere.

``structure`` finds the blocks that a file is made of and the numbers that say where and how large things are, also
those of EXIF blocks and colour profiles within it; ``mutate`` changes them, and mends check sums so that damage gets
past the first guard.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from random import Random
from typing import Literal, NamedTuple, TypeAlias

LARGEST = 4 * 2**20
"""Bytes that a mutated file has at most."""

Order: TypeAlias = Literal["little", "big"]


class Number(NamedTuple):
    """An integer field of a file."""

    position: int
    size: int
    order: Order


class Block(NamedTuple):
    """A part that a file could hold once, twice or not at all: a chunk, a segment, a field."""

    start: int
    end: int


Part: TypeAlias = "Number | Block"
PNG = b"\x89PNG\r\n\x1a\n"
TIFF_TYPES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 9: 4, 10: 8}


def mutate(data: bytes, rng: Random) -> bytes:
    """A damaged copy of a file, at most ``LARGEST`` bytes long. The same ``rng`` state gives the same copy."""
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5, 9))):
        edit = rng.choices(list(EDITS), list(EDITS.values()))[0]
        data = edit(data, rng)[:LARGEST]
    return mended(data) if rng.random() < 0.8 else data


# ---- edits ----------------------------------------------------------------------------------------------------------


def change_number(data: bytes, rng: Random) -> bytes:
    """Lengths, offsets, counts, sizes: one becomes too large, negative, zero, or leads back to where it stands."""
    numbers = [part for part in structure(data) if isinstance(part, Number)]
    if not numbers:
        return flip_bits(data, rng)
    position, size, order = rng.choice(numbers)
    old = int.from_bytes(data[position : position + size], order)
    top = 256**size
    elsewhere = rng.choice(numbers).position
    extremes = (0, 1, 2, top - 1, top // 2, top // 2 - 1, top // 4, rng.randrange(top), rng.randrange(min(top, 70000)))
    related = (old + 1, old - 1, old * 2, old // 2, old ^ 1 << rng.randrange(8 * size), old + 2**16)
    places = (len(data), len(data) - old, position, position - 8, elsewhere, rng.randrange(len(data) + 1))
    new = rng.choice(rng.choice((extremes, related, places))) % top
    return data[:position] + new.to_bytes(size, order) + data[position + size :]


def change_blocks(data: bytes, rng: Random) -> bytes:
    """A block is repeated, dropped, moved before another, emptied, or filled with something else."""
    blocks = [part for part in structure(data) if isinstance(part, Block) and part.end > part.start]
    if not blocks:
        return splice(data, rng)
    (start, end), (other, other_end) = rng.choice(blocks), rng.choice(blocks)
    block = data[start:end]
    match rng.randrange(5):
        case 0:
            return data[:end] + block * rng.choice((1, 1, 2, 10, 300)) + data[end:]
        case 1:
            return data[:start] + data[end:]
        case 2:
            return data[:other] + block + data[other:]
        case 3:
            return data[:start] + data[other:other_end] + data[end:]
        case _:
            filling = rng.choice((b"\0", b"\xff", b"II*\0\x08\0\0\0", b"<a>", b"A"))
            return data[:start] + (filling * len(block))[: len(block)] + data[end:]


def flip_bits(data: bytes, rng: Random) -> bytes:
    """Single bits, anywhere."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 3, 20)) if data else 0):
        changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def change_bytes(data: bytes, rng: Random) -> bytes:
    """A run of bytes becomes noise, zeros or ones."""
    start, end = _range(data, rng)
    length = end - start
    return data[:start] + rng.choice((bytes(length), b"\xff" * length, rng.randbytes(length))) + data[end:]


def truncate(data: bytes, rng: Random) -> bytes:
    """The end is missing."""
    return data[: rng.randrange(len(data) + 1)]


def splice(data: bytes, rng: Random) -> bytes:
    """A run of bytes is left out, doubled, repeated many times, or put in elsewhere."""
    (start, end), place = _range(data, rng), rng.randrange(len(data) + 1)
    run = data[start:end]
    match rng.randrange(4):
        case 0:
            return data[:start] + data[end:]
        case 1:
            return data[:end] + run * rng.choice((1, 2, 100)) + data[end:]
        case 2:
            return data[:place] + run + data[place:]
        case _:
            return data[:place] + run + data[place + len(run) :]


EDITS: dict[Callable[[bytes, Random], bytes], int] = {
    change_number: 10,
    change_blocks: 4,
    flip_bits: 3,
    change_bytes: 2,
    truncate: 1,
    splice: 2,
}
"""Edits and how often each is chosen."""


def _range(data: bytes, rng: Random) -> tuple[int, int]:
    start = rng.randrange(len(data) + 1)
    return start, min(len(data), start + rng.choice((1, 4, 16, 100, 2000)))


def mended(data: bytes) -> bytes:
    """The file with the check sums of PNG chunks and the length of a RIFF file as they should be."""
    fixed = bytearray(data)
    if data.startswith(PNG):
        for start, end in _png_chunks(data):
            struct.pack_into(">I", fixed, end - 4, zlib.crc32(data[start + 4 : end - 4]))
    if data.startswith(b"RIFF") and len(data) >= 8:
        struct.pack_into("<I", fixed, 4, len(data) - 8)
    return bytes(fixed)


# ---- where things are -----------------------------------------------------------------------------------------------


def structure(data: bytes) -> list[Part]:
    """The blocks and numbers of a file and of what is embedded in it, as far as they can be made out."""
    parts: list[Part] = []
    for start, find in CONTAINERS.items():
        if data.startswith(start):
            _collect(parts, find(data))
    for found in re.finditer(rb"II[*+]\0|MM\0[*+]", data):
        _collect(parts, _tiff(data, found.start()))
    for found in re.finditer(b"acsp", data):
        _collect(parts, _profile(data, found.start() - 36))
    if data[8:10] == b'{"':
        _collect(parts, _safetensors(data))
    return [part for part in parts if part[0] >= 0 and (isinstance(part, Block) or part[0] + part.size <= len(data))]


def _collect(parts: list[Part], found: Iterator[Part]) -> None:
    with suppress(struct.error, IndexError, OverflowError):  # damaged by an earlier edit
        for part in found:
            parts.append(part)
            if len(parts) > 5000:
                return


def _png_chunks(data: bytes) -> Iterator[Block]:
    position = len(PNG)
    while position + 12 <= len(data):
        end = position + 12 + struct.unpack_from(">I", data, position)[0]
        if end > len(data):
            return
        yield Block(position, end)
        position = end


def _png(data: bytes) -> Iterator[Part]:
    for chunk in _png_chunks(data):
        yield chunk
        yield Number(chunk.start, 4, "big")
        name, body = data[chunk.start + 4 : chunk.start + 8], chunk.start + 8
        if name in (b"IHDR", b"pHYs", b"acTL"):
            yield from (Number(body + 4 * i, 4, "big") for i in range(2))
        if name == b"IHDR":
            yield from (Number(body + 8 + i, 1, "big") for i in range(5))


def _jpeg(data: bytes) -> Iterator[Part]:
    position = 2
    while data[position] == 0xFF:
        kind, length = data[position + 1], struct.unpack_from(">H", data, position + 2)[0]
        yield Block(position, min(position + 2 + length, len(data)))
        yield Number(position + 1, 1, "big")
        yield Number(position + 2, 2, "big")
        if 0xC0 <= kind <= 0xCF:
            yield from (Number(position + 4 + i, size, "big") for i, size in ((0, 1), (1, 2), (3, 2), (5, 1), (7, 1)))
        if kind == 0xDA:
            yield from (Number(position + 4 + i, 1, "big") for i in range(length - 2))
            return
        position += 2 + length


def _riff(data: bytes) -> Iterator[Part]:
    yield Number(4, 4, "little")
    position = 12
    while position + 8 <= len(data):
        name, length = struct.unpack_from("<4sI", data, position)
        yield Block(position, min(position + 8 + length + length % 2, len(data)))
        yield Number(position + 4, 4, "little")
        fields = {b"VP8X": ((0, 1), (4, 3), (7, 3)), b"VP8L": ((1, 4),), b"VP8 ": ((0, 3), (6, 2), (8, 2))}
        yield from (Number(position + 8 + place, size, "little") for place, size in fields.get(name, ()))
        position += 8 + length + length % 2


def _boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[Part]:
    """AVIF, JPEG XL and JPEG 2000; in boxes that hold no others, the numbers that may lie there."""
    position, end = start, len(data) if end is None else end
    while position + 8 <= end:
        size, name = struct.unpack_from(">I4s", data, position)
        stop = min(position + max(size, 8), end) if size else end
        yield Block(position, stop)
        yield Number(position, 4, "big")
        inside = {b"meta": 12, b"iprp": 8, b"ipco": 8, b"jp2h": 8}.get(name)
        if inside:
            yield from _boxes(data, position + inside, stop)
        elif name not in (b"mdat", b"jxlc", b"jp2c"):
            yield from (Number(place, 2, "big") for place in range(position + 8, min(stop, position + 80), 2))
        else:
            yield from (Number(place, 1, "big") for place in range(position + 8, min(stop, position + 70)))
        position = stop


def _bitmap(data: bytes) -> Iterator[Part]:
    yield from (Number(place, 4, "little") for place in (2, 10, 14, 18, 22, 30, 34, 38, 42, 46, 50))
    yield from (Number(place, 2, "little") for place in (26, 28))


def _tiff(data: bytes, base: int) -> Iterator[Part]:
    """Header, directories and the directories they point to; ``base`` is where offsets count from."""
    order: Order = "little" if data[base : base + 2] == b"II" else "big"
    mark = "<" if order == "little" else ">"
    big = data[base + 2 : base + 4] in (b"+\0", b"\0+")
    wide, entry_size, start = (8, 20, 8) if big else (4, 12, 4)
    yield Number(base + start, wide, order)
    waiting = [struct.unpack_from(mark + ("Q" if big else "I"), data, base + start)[0]]
    seen: set[int] = set()
    while waiting and len(seen) < 8:
        directory = base + waiting.pop()
        if directory in seen:
            continue
        seen.add(directory)
        (number,) = struct.unpack_from(mark + ("Q" if big else "H"), data, directory)
        yield Number(directory, 8 if big else 2, order)
        first = directory + (8 if big else 2)
        for entry in range(first, first + min(number, 100) * entry_size, entry_size):
            tag, kind, count, value = struct.unpack_from(mark + ("HHQQ" if big else "HHII"), data, entry)
            yield Block(entry, entry + entry_size)
            yield from (Number(entry + place, size, order) for place, size in ((0, 2), (2, 2), (4, wide)))
            yield Number(entry + 4 + wide, 2 if kind == 3 and count == 1 else wide, order)
            if TIFF_TYPES.get(kind, 1) * count > wide and kind in (3, 4, 16):  # lists of offsets and lengths
                size = TIFF_TYPES.get(kind, 8)
                yield from (Number(base + value + size * i, size, order) for i in range(min(count, 20)))
            if tag in (0x8769, 0x8825, 0xA005, 330):
                waiting.append(value)
        link = first + number * entry_size
        yield Number(link, wide, order)
        waiting.append(struct.unpack_from(mark + ("Q" if big else "I"), data, link)[0])


def _profile(data: bytes, start: int) -> Iterator[Part]:
    yield Number(start, 4, "big")
    yield from (Number(start + place, 4, "big") for place in (12, 16, 20, 128))  # class, colour spaces, tag count
    for entry in range(start + 132, start + 132 + 12 * min(struct.unpack_from(">I", data, start + 128)[0], 50), 12):
        yield Block(entry, entry + 12)
        yield from (Number(entry + place, 4, "big") for place in (4, 8))


def _zip(data: bytes) -> Iterator[Part]:
    """Local headers, central directory and its end: methods, sizes, lengths of names, offsets, counts."""
    fields = {
        b"PK\x03\x04": ((8, 2), (18, 4), (22, 4), (26, 2), (28, 2)),
        b"PK\x01\x02": ((10, 2), (20, 4), (24, 4), (28, 2), (30, 2), (42, 4)),
        b"PK\x05\x06": ((8, 2), (10, 2), (12, 4), (16, 4)),
    }
    starts = [*re.finditer(rb"PK(\x03\x04|\x01\x02|\x05\x06)", data)]
    ends = [found.start() for found in starts[1:]] + [len(data)]
    for found, end in zip(starts, ends, strict=True):
        yield Block(found.start(), end)
        yield from (Number(found.start() + place, size, "little") for place, size in fields[found[0]])


def _safetensors(data: bytes) -> Iterator[Part]:
    """The length of the header, its digits, and its strings with what is between them."""
    yield Number(0, 8, "little")
    end = 8 + int.from_bytes(data[:8], "little")
    for found in re.finditer(rb"\d+", data[8 : min(end, len(data))]):
        yield from (Number(8 + place, 1, "little") for place in range(*found.span()))
    for found in re.finditer(rb'"[^"]*"[:,]?|[\[\]{}]', data[8 : min(end, len(data))]):
        yield Block(8 + found.start(), 8 + found.end())


CONTAINERS: dict[bytes, Callable[[bytes], Iterator[Part]]] = {
    PNG: _png,
    b"\xff\xd8": _jpeg,
    b"RIFF": _riff,
    b"BM": _bitmap,
    b"PK": _zip,
    b"\0\0\0\x0cJXL ": _boxes,
    b"\0\0\0\x0cjP  ": _boxes,
    b"\0\0\0 ftypavif": _boxes,
}
"""How a file begins → its finder. Formats whose marks may lie anywhere (TIFF, profiles) are looked for everywhere."""
