"""What an evaluation found, as values: per direction, as tables, over folds."""
