"""The sample models and images that ship with the explorer, and the scripts that made them."""
