"""Images of a list on disk, with their results and edits, read and written."""
