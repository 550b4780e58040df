"""The graphs of original and compressed model."""

from explorer.ui import frame, graphs

frame.draw(graphs.draw, parts=("file",))
