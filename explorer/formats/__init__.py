"""Bytes to models and back; the only parsers of foreign bytes."""
