"""Tables of objects."""
