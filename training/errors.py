"""Errors that end a run with one message. Imports nothing heavy."""


class DataError(ValueError):
    """The data cannot be used; the message says what was expected, what found, and what to do."""


class TrainingError(RuntimeError):
    """Training cannot go on; the message says why, what is kept and what to do."""
