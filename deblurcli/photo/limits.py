"""How much of anything a file may bring along. Photos have far less; what has more was made to exhaust the program.

Pillow's own limit (``Image.MAX_IMAGE_PIXELS``) is not used: it is one for the whole process, while ``max_pixels`` of
``read_photo`` is one per call and holds for every format, before anything is decoded.
"""

MAX_PIXELS = 200_000_000
"""Width × height, unless the caller says otherwise (``--max-pixels``)."""

MAX_CHANNELS = 8
MAX_PIXEL_BYTES = 16
"""Of one pixel, uncompressed: four channels of 32 bits. With the pixels and metadata it bounds the size of a file."""

LARGEST_PART = 16_000_000
"""Bytes of an EXIF block, an XMP packet or a colour profile, unpacked. JPEG can hold no larger profile."""

LARGEST_METADATA = 2 * LARGEST_PART
"""Bytes of a file beside its pixels, where a format's reader goes through all of them."""

MAX_PARTS = 10_000
"""Segments, ancillary chunks, further pages: what a reader steps over one by one."""

MAX_CHUNKS = 500_000
"""Chunks of a PNG or WebP file, those that hold its pixels included."""

MAX_SCANS = 100
"""Scans of a JPEG file: each goes through all pixels again, however short it is. Progressive files have about ten."""

MAX_GAP = 2**16
"""Bytes that lie between the segments of a JPEG file, all together."""

MAX_TILES = 100_000
"""Strips or tiles of a TIFF file. 200 megapixels in tiles of 64 px are half as many."""

LARGEST_TILE = 2**24
"""Pixels of a tile of a TIFF file that is larger than its picture."""

MAX_TEXTS = 200
"""Text fields of a PNG file."""

MAX_NAMES = 5
"""Names that a warning lists."""

MAX_LOST = 100
"""Names of parts that are not carried, in a warning."""
