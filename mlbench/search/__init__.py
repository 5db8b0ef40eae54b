"""The best form of a network for a budget: spaces, studies, and the engine that does their work."""
