"""From an image of any size to labels: tiles, iterations, stitching, stacks."""
