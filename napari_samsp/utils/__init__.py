"""What every room may use: errors, files, devices, progress."""
