"""Printed figures; nothing here is asserted."""
