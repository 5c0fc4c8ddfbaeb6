"""Counts by distance to figures: tie-aware measures, and the field's other definitions."""
