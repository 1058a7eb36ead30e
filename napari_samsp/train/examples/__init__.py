"""What the model sees in training: crops, augmentation, splits."""
