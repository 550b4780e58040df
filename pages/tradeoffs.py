"""Many settings, what each costs and keeps, and two of them side by side."""

from explorer.ui import frame, tradeoffs

frame.draw(tradeoffs.draw)
