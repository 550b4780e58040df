"""The live panel, and what changes with the setting."""

from explorer.ui import changed_predictions, frame, insight_notes

frame.draw(changed_predictions.draw, live=insight_notes.draw)
