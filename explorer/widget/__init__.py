"""The live panel in JavaScript, and what it needs to know of a model."""
