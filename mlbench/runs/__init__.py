"""Whole runs: from a plan to a record."""
