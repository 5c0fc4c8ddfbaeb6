"""Captions to spoken clips: voices of several engines, and processes that speak."""
