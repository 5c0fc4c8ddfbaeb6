"""Exact Hamming search: compiled kernels, and the same in NumPy."""
