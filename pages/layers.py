"""What happens to each layer, and what each costs."""

from explorer.ui import frame, layers

frame.draw(layers.draw, parts=("plan",))
