"""Networks of a user's own, imported as data: see `source_of`."""

from mlbench.networks.importing.source import ImportedNetwork, source_of

__all__ = ["ImportedNetwork", "source_of"]
