"""Codes to neighbours: exact Hamming search in memory and on disk."""
