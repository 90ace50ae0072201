"""The Python interface in ten lines: python examples/restore_array.py PHOTO OUT"""

import sys

import deblurcli

if len(sys.argv) != 3:
    sys.exit(__doc__)
photo = deblurcli.read_photo(sys.argv[1])
deblurrer = deblurcli.load("iniknet-fast")
restored, maps = deblurrer(photo.picture, maps=True)
deblurcli.write_photo(sys.argv[2], photo.with_picture(restored))
print(f"{deblurrer}: kernels of {maps['defocus_size'].mean():.1f} px on average")
