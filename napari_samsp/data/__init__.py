"""Images and labels: read, scaled, and written. Knows no torch model."""
