"""Cross-modal image-sound hashing: short binary codes for aerial images and the sounds that describe them."""

__version__ = "0.1.0"
