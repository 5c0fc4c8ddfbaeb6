"""The version of dtbh."""

__version__ = "0.1.0"
