"""How large objects are, and how much of an image the model sees at once."""
