"""The live panel, and what changes with the setting."""

from explorer.ui import changes, frame, results

frame.draw(changes.draw, live=results.draw)
