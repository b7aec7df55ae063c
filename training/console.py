"""What the scripts show on the terminal: the messages of the package's loggers, bare."""

import logging
import sys
from typing import Literal, TextIO

PACKAGES = ("modeling", "training", "prediction", "publishing")


class _Console(logging.StreamHandler):
    """Writes to what `sys.stdout` or `sys.stderr` is when a message comes, not when it was made."""

    def __init__(self, stream_name: str):
        logging.Handler.__init__(self)
        self.stream_name = stream_name

    @property
    def stream(self) -> TextIO:
        return getattr(sys, self.stream_name)


def show_messages(
    main_process: bool = True, stream: Literal["stdout", "stderr"] = "stdout"
) -> None:
    """
    The package's loggers write bare messages from INFO on; in processes other than the main one,
    errors alone. A second call replaces the first.
    """
    above = __name__.rpartition("training.console")[0]  # "fer_efficientnet." where it is installed
    for package in PACKAGES:
        logger = logging.getLogger(above + package)
        logger.handlers = [_Console(stream)]
        logger.setLevel(logging.INFO if main_process else logging.ERROR)
        logger.propagate = True
