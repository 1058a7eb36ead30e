"""The method: a model's output becomes the prompt of its next iteration."""
