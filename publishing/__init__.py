"""What brings a finished run, a data set and the Space to the Hub."""


class PublishError(RuntimeError):
    """Nothing was published, or not all of it; the message says what is there and what to do."""
