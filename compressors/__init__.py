"""Built-in compressors: one file a technique; the mathematics stands apart from the surgery on networks."""
