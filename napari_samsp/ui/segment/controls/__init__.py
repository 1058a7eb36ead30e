"""What is set before a run, or after it: each control for itself, and their form."""
