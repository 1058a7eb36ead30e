"""Measured objects, as rows of a table."""
