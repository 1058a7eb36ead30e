"""Step 1: segment the layer, and show each iteration."""
