"""A camera raw file for tests: a DNG whose sensor sees just the linear primaries of sRGB, behind a Bayer mosaic."""

from __future__ import annotations

import struct
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from deblurcli.photo.profiles import SPACES

BLACK, WHITE = 512, 16383
NEUTRAL = (0.5, 1.0, 0.8)
"""What the sensor's channels answer to white light."""
MAKER_NOTE = b"MAKER\0" + bytes(np.random.default_rng(1).integers(0, 256, 333, dtype=np.uint8))


def patches(side: int = 16) -> np.ndarray:
    """(4 side, 6 side, 3) linear light: even patches, white, black and grays among them."""
    colours = np.random.default_rng(2).uniform(0.02, 0.9, (4, 6, 3))
    colours[0] = np.array([1.0, 0.5, 0.18, 0.05, 0.01, 0.0])[:, None]
    return np.kron(colours, np.ones((side, side, 1)))


def middles(picture: np.ndarray, side: int = 16) -> np.ndarray:
    """The middle of each patch, (4, 6, 3): its rim shows the neighbours, as in every picture behind a mosaic."""
    return picture[side // 2 :: side, side // 2 :: side]


def write_dng(path: Path, linear: np.ndarray, **how: Any) -> None:
    """Write (H, W, 3) linear light in [0, 1] as a raw file; see ``dng``."""
    path.write_bytes(dng(linear, **how))


def dng(
    linear: np.ndarray,
    *,
    orientation: int = 1,
    exposure: float = 0.0,
    preview: np.ndarray | None = None,
    baseline: tuple[int, int] | None = None,
    area: tuple[int, int, int, int] | None = None,
    crop: tuple[int, int, int, int] | None = None,
) -> bytes:
    """A raw file of (H, W, 3) linear light in [0, 1], underexposed by so many stops.

    ``preview`` is the camera's own picture, (h, w, 3) uint8; ``baseline`` the stops to be made up for, as a fraction.
    ``area`` is the sensor's part that sees light, as top, left, bottom and right; ``crop`` is what is to be shown of
    that, as left, top, width and height.
    """
    sensor = np.rint(BLACK + (WHITE - BLACK) * np.minimum(linear * NEUTRAL * 2.0**-exposure, 1)).astype(np.uint16)
    mosaic = sensor[..., 1].copy()
    mosaic[::2, ::2], mosaic[1::2, 1::2] = sensor[::2, ::2, 0], sensor[1::2, 1::2, 2]
    from_xyz = np.rint(np.linalg.inv(SPACES["srgb"].to_xyz()) * 10000).astype(int)
    ratios = [number for value in from_xyz.flat for number in (int(value), 10000)]
    neutral = [number for value in NEUTRAL for number in (round(value * 1000), 1000)]
    tags: list[tuple[int, int, int, Any, bool]] = [
        (271, 2, 0, "Maker", True),
        (272, 2, 0, "Model 5", True),
        (274, 3, 1, orientation, True),
        (33421, 3, 2, (2, 2), True),
        (33422, 1, 4, b"\0\1\1\2", True),
        (50706, 1, 4, b"\1\4\0\0", True),
        (50707, 1, 4, b"\1\1\0\0", True),
        (50708, 2, 0, "Maker Model 5", True),
        (50714, 3, 1, BLACK, True),
        (50717, 3, 1, WHITE, True),
        (50721, 10, 9, ratios, True),
        (50728, 5, 3, neutral, True),
        (50778, 3, 1, 21, True),
    ]
    tags += [(50730, 10, 1, baseline, True)] if baseline else []
    tags += [(50829, 4, 4, area, True)] if area else []
    tags += [(50719, 5, 2, (crop[0], 1, crop[1], 1), True), (50720, 3, 2, crop[2:], True)] if crop else []
    file = BytesIO()
    tifffile.imwrite(file, mosaic, photometric="cfa", extratags=tags, metadata=None, software=False)
    return _with_exif(bytearray(file.getvalue()), linear.shape[1], linear.shape[0], preview)


def _with_exif(data: bytearray, width: int, height: int, preview: np.ndarray | None) -> bytes:
    """The file with an EXIF IFD, and one of the preview, written behind everything."""
    (start,) = struct.unpack_from("<I", data, 4)
    (number,) = struct.unpack_from("<H", data, start)
    slots = {struct.unpack_from("<H", data, at)[0]: bytes(data[at : at + 12]) for at in _places(start, number)}
    exif_at = len(data)
    note_at = exif_at + 2 + 5 * 12 + 4
    exif = struct.pack("<H", 5) + struct.pack("<HHI2HI", 0x8827, 3, 1, 400, 0, 0)[:12]
    exif += struct.pack("<HHII", 0x927C, 7, len(MAKER_NOTE), note_at) + struct.pack("<HHI2H", 0xA001, 3, 1, 2, 0)
    exif += struct.pack("<HHII", 0xA002, 4, 1, width) + struct.pack("<HHII", 0xA003, 4, 1, height)
    data += exif + bytes(4) + MAKER_NOTE + bytes(len(MAKER_NOTE) % 2)
    slots[0x8769] = struct.pack("<HHII", 0x8769, 4, 1, exif_at)
    if preview is not None:
        slots[0x014A] = struct.pack("<HHII", 0x014A, 4, 1, _add_preview(data, preview))
    struct.pack_into("<I", data, 4, len(data))
    data += struct.pack("<H", len(slots)) + b"".join(slots[tag] for tag in sorted(slots)) + bytes(4)
    return bytes(data)


def _add_preview(data: bytearray, preview: np.ndarray) -> int:
    """Appends an IFD with a JPEG preview; returns its offset."""
    file, bits = BytesIO(), len(data)
    data += struct.pack("<3H", 8, 8, 8) + bytes(2)
    Image.fromarray(preview).save(file, "JPEG", quality=95)
    at, jpeg = len(data), file.getvalue()
    data += jpeg + bytes(len(jpeg) % 2)
    place, (height, width) = len(data), preview.shape[:2]
    fields = [(254, 1, 1), (256, 1, width), (257, 1, height), (258, 3, bits), (259, 1, 7), (262, 1, 6), (273, 1, at)]
    fields += [(277, 1, 3), (278, 1, height), (279, 1, len(jpeg))]
    data += struct.pack("<H", len(fields))
    data += b"".join(struct.pack("<HHII", tag, 3 if tag == 258 else 4, *rest) for tag, *rest in fields) + bytes(4)
    return place


def _places(start: int, number: int) -> range:
    return range(start + 2, start + 2 + 12 * number, 12)
