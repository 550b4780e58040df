"""The sample models and data that ship with the explorer, and the scripts that made them."""
