"""Aerial scenes that the project draws itself, with their captions."""
