"""Why something of a network is left alone."""

ON_REQUEST = "goes only when widths are asked for"
