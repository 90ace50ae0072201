"""``python -m deblurcli`` is ``deblur``."""

from deblurcli.cli import main

main()
