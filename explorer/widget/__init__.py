"""The live panel in JavaScript, and what it shows."""
