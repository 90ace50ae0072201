"""Many photos: which, to where, several at a time, on one machine or many."""

THREADS = "deblur"
"""How names of threads begin that restore photos."""
