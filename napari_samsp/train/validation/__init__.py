"""How well it learnt, judged on images that it did not learn from."""
