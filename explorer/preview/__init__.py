"""The estimator in the browser: what it covers, what it needs of a model, and its JavaScript."""
