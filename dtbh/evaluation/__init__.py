"""Neighbours to figures: tie-aware measures, protocols and reports."""
