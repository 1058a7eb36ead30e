"""The same encoder and decoder, faster: for CPU, CUDA, and training."""
