"""What cameras note in ways of their own stays readable: those notes point to places in the EXIF block around them."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from bayer import patches

from deblurcli import read_photo, write_photo
from deblurcli.photo.formats import ifd
from deblurcli.photo.photo import Photo

OWNER = b"Somebody with a long name"
CODES = np.rint(patches() * 255).astype(np.uint8)
FORMATS = ["jpg", "png", "tif", "webp", "avif", "jxl"]


def field(order: str, tag: int, kind: int, number: int, value: int | bytes) -> bytes:
    inside = value if isinstance(value, bytes) else struct.pack(order + "I", value)
    return struct.pack(order + "HHI", tag, kind, number) + inside.ljust(4, b"\0")


def canon_exif(order: str) -> bytes:
    """An EXIF block of a picture that lies on its side, with a note as Canon's cameras write it."""
    make, model = b"Canon\0", b"Canon EOS 5D\0\0"
    exif_at = 8 + 2 + 4 * 12 + 4 + len(make) + len(model)
    note_at = exif_at + 2 + 12 + 4
    note = struct.pack(order + "H", 1) + field(order, 9, 2, 32, note_at + 18) + bytes(4) + OWNER.ljust(32, b"\0")
    first = (
        struct.pack(order + "H", 4) + field(order, 0x10F, 2, 6, exif_at - 20) + field(order, 0x110, 2, 13, exif_at - 14)
    )
    first += field(order, 0x112, 3, 1, struct.pack(order + "H", 6)) + field(order, 0x8769, 4, 1, exif_at) + bytes(4)
    exif = struct.pack(order + "H", 1) + field(order, 0x927C, 7, len(note), note_at) + bytes(4)
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return mark + struct.pack(order + "I", 8) + first + make + model + exif + note


def owner(exif: bytes) -> bytes:
    """What the note says, found as Canon's own programs find it."""
    header = ifd.read_header(exif)
    (start,) = header.unpack("I", exif, dict(ifd.entries(exif, header, header.offset))[ifd.EXIF_IFD].value)
    (note,) = header.unpack("I", exif, dict(ifd.entries(exif, header, start))[ifd.MAKER_NOTE].value)
    said = ifd.read_field(exif, header, dict(ifd.entries(exif, header, note))[9])
    assert said
    return said.data.rstrip(b"\0")


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("source", FORMATS)
def test_maker_notes_stay_readable(source: str, order: str, tmp_path: Path) -> None:
    write_photo(tmp_path / f"a.{source}", Photo(CODES, exif=canon_exif(order)))
    photo = read_photo(tmp_path / f"a.{source}")
    for format in FORMATS:
        assert write_photo(tmp_path / f"b.{format}", photo, description="deblur") == ()
        exif = read_photo(tmp_path / f"b.{format}").exif
        assert exif and owner(exif) == OWNER
    if exiftool := shutil.which("exiftool"):
        command = [exiftool, "-json", "-OwnerName", "-Warning", *(f"b.{format}" for format in FORMATS)]
        said = json.loads(subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout)
        assert said == [{"SourceFile": f"b.{format}", "OwnerName": OWNER.decode()} for format in FORMATS]
