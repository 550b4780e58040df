"""The first page: a model, a recipe, and what comes of it."""

from explorer.ui import controls, details, links, results, state
from explorer.ui.turns import turn

with turn():
    session = state.current()
    session.advance()
    controls.draw(session)
    links.write(session)
session.settle()
with turn():
    results.draw(session)
    details.draw(session)
