"""Weights by name or address: what they are called, how they are fetched, and the cache that keeps them."""
