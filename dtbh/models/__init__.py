"""A trained model as a thing one loads, exports and shares; the networks are in ``dtbh.encoders``."""
