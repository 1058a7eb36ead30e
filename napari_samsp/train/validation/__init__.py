"""How well a run learnt, measured on images that it did not learn from."""
