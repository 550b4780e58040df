"""What happens to each layer, and what each costs."""

from explorer.ui import frame, layer_table

frame.draw(layer_table.draw, parts=("plan",))
