"""Numbers about a model: counted, timed and scored."""
