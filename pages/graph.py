"""The graphs of original and compressed model."""

from explorer.ui import frame, graph_view

frame.draw(graph_view.draw, parts=("artifact",))
