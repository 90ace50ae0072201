"""Weights that the networks' authors published, brought into our naming: one importer for each network."""
