"""A warning that a process gives once."""

import functools
import logging


@functools.lru_cache
def warn_once(logger: logging.Logger, message: str) -> None:
    logger.warning(message)


__all__ = ["warn_once"]
