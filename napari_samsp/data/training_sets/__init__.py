"""Folders of images and masks: what the widget writes and the trainer reads."""
