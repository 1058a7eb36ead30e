"""Which files folders hold, and which of them belong together."""
