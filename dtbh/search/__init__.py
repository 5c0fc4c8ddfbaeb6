"""A query to results, and results to a table, a page or GeoJSON."""
