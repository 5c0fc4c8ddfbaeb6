"""Pairs on disk: the manifest, where it comes from, its splits, and speech made from captions."""
