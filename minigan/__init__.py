"""GANs from scratch on NumPy."""
