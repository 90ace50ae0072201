"""Coefficient maps: their meaning, and how they become files and pictures."""
