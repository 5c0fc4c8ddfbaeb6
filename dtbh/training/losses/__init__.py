"""Losses and triplet mining: each a function of the towers' outputs for a batch."""
