"""The first page: a model, a recipe, and what comes of it."""

from explorer.ui import controls, details, results, state

session = state.current()
session.advance()
controls.draw(session)
session.settle()
results.draw(session)
details.draw(session)
