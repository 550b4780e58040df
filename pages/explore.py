"""The live panel, and what changes with the setting."""

from explorer.ui import changed_predictions, frame, results

frame.draw(changed_predictions.draw, live=results.draw)
