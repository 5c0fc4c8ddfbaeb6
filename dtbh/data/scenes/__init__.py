"""Aerial scenes drawn from nothing, with what can be said of them."""
