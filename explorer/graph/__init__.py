"""What a graph means: layers, shapes, costs and channel groups."""
