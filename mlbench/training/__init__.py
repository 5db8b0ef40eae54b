"""Training and tuning of networks, and baselines kept in the cache."""
