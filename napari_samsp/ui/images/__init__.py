"""The list of images at the top of the widget."""
