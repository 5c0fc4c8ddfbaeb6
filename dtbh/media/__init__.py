"""Media files to arrays: what every encoder reads, with torch or without."""
