"""Distances, triplet selection, objectives and training."""
