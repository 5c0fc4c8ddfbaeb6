"""Each verb's work, a file a verb: paths in and a path out."""
