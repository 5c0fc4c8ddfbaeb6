"""What every room may use: whole-or-nothing files, progress, packages, device."""
