"""What comes after a training must not cost it: a step that fails is left out and named."""

import contextlib
from collections.abc import Iterator

from transformers.utils import logging

from .wording import first_line

logger = logging.get_logger(__name__)


class Failures:
    """
    The steps after a training that failed.

    Attributes:
        errors: the exception of each, by what it left out.
    """

    def __init__(self):
        self.errors: dict[str, Exception] = {}

    @contextlib.contextmanager
    def noted(self, what: str) -> Iterator[None]:
        """An exception inside ends the block alone: it is logged in one line and noted."""
        try:
            yield
        except Exception as error:  # of any kind: a loss from outside, a full disk
            self.errors[what] = error
            logger.info(f"Left out: {what} ({type(error).__name__}: {first_line(error)})")
            logger.debug(f"Left out: {what}", exc_info=True)
