"""Step 2: correct labels by click or brush, and keep them."""
