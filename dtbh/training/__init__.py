"""Losses, sampling, the training loop, shallow baselines, and the run folder's writer."""
