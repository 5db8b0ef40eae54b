"""Chains of compressors, and how they are carried out stage by stage."""
