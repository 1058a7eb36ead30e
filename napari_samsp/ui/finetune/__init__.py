"""Step 3: train on what was kept."""
