"""The estimator in the browser: what it needs to know of a model, and its JavaScript."""
