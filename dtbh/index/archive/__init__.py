"""An archive on disk: a memory-mapped code file, and SQLite for the items."""
