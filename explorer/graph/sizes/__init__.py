"""Sizes for the dimensions that a file leaves open: by layout, by name, and by trial."""
