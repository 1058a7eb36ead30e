"""The loss: segmentation, self-distillation, relief."""
