"""Files ↔ arrays: what is in a photo, and nothing lost on the way through."""
