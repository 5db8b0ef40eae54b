"""The errors that a user can cause, each one sentence: what is wrong, where, and what to do."""


class UsageError(Exception):
    """Bad input. The command line prints the sentence and ends with exit code 2."""


class RefusedCompressionError(UsageError):
    """A compression that would not make the network smaller, or that makes no sense; with the numbers."""
