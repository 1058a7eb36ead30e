"""Networks that segment_anything does not have."""
