"""Data sets in general: their files and arrays."""
