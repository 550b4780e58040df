"""Why something of a network is left alone."""

ON_REQUEST = "is only pruned where hidden dimensions are pruned too"
