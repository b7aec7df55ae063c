"""What comes after a training must not cost it: a step that fails is left out and named."""

import contextlib
from collections.abc import Callable, Iterator

from transformers.utils import logging

from .wording import first_line

logger = logging.get_logger(__name__)


class Gaps:
    """
    What could not be said of a run, and why: `errors` by name.

    Args:
        say: is told of each in one line, at once.
    """

    def __init__(self, say: Callable[[str], None] = print):
        self.say = say
        self.errors: dict[str, Exception] = {}

    @contextlib.contextmanager
    def on_error(self, what: str) -> Iterator[None]:
        """Whatever goes wrong inside ends there, and `what` is left out."""
        try:
            yield
        except Exception as error:  # of a loss from outside, of a full disk: of any kind
            self.errors[what] = error
            self.say(f"Left out: {what} ({type(error).__name__}: {first_line(error)})")
            logger.debug(f"Left out: {what}", exc_info=True)
