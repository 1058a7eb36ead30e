"""Qt pieces that know nothing of segmentation."""
