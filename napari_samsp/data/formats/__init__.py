"""File formats, each read with care, whoever wrote the file."""
