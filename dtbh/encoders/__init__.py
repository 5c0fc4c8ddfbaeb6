"""Tensors to hash-like codes: an image tower and a sound tower with hash heads."""
