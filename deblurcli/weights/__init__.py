"""Where trained weights live and how they are read and written."""
