"""What there is to take away."""

from explorer.ui import export, frame

frame.draw(export.draw, parts=("artifact",))
