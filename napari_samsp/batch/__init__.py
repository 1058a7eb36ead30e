"""Many images: what is done with each, where, and which are done."""
