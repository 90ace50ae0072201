"""deblur: removes defocus blur from photos with small networks whose filters one can look at.

>>> import deblurcli
>>> photo = deblurcli.read_photo("photo.jpg")
>>> deblurrer = deblurcli.load("iniknet-fast")
>>> deblurcli.write_photo("sharp.png", photo.with_picture(deblurrer(photo.picture)))
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deblurcli.loading import load as load
    from deblurcli.photo.decode import read_photo as read_photo
    from deblurcli.photo.encode import write_photo as write_photo
    from deblurcli.photo.photo import Photo as Photo
    from deblurcli.restore import Deblurrer as Deblurrer

__version__ = "0.1.0"

# Public names → where they live. Imported on first use, so that `deblur --help` stays fast.
_HOME = {
    "Deblurrer": "deblurcli.restore",
    "Photo": "deblurcli.photo.photo",
    "load": "deblurcli.loading",
    "read_photo": "deblurcli.photo.decode",
    "write_photo": "deblurcli.photo.encode",
}

__all__ = ["Deblurrer", "Photo", "__version__", "load", "read_photo", "write_photo"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'deblurcli' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
