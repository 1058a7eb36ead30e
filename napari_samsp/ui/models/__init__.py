"""Which base model and adapter are used, and loading them."""
