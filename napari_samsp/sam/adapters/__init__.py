"""Adapters: PEFT's layers, what an adapter says of itself, and its classes."""
