"""SAM itself: architecture, checkpoints, adapters, export. Knows no images on disk."""
