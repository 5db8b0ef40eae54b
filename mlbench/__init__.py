"""mlbench: which form of this network fits this device, and what does it cost in accuracy?"""

__version__ = "0.1.0"
