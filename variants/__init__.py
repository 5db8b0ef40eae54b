"""Built-in variants: definitions of networks, nothing else."""
