"""Label images in the files of other programs: a module for each format."""
