"""Folders of photos as tensors."""
