"""huggingface_hub's client for one repository: it tries again, and its errors are plain words."""

import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx2
from huggingface_hub import HfApi, constants, get_token
from huggingface_hub.errors import (
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from . import PublishError
from .secrets import masked

TRIES = 5
TRANSIENT = (408, 429, 500, 502, 503, 504)
LOST = (httpx2.TimeoutException, httpx2.NetworkError, httpx2.RemoteProtocolError)
PATHS = {"model": "", "dataset": "datasets/", "space": "spaces/"}  # in the URL, by repo_type

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Target:
    """Where to publish. repo_type: model, dataset or space."""

    repo_id: str
    repo_type: str = "model"
    private: bool = False
    revision: str | None = None
    create_pr: bool = False
    tag: str | None = None
    parent_commit: str | None = None

    def __str__(self) -> str:
        return PATHS[self.repo_type] + self.repo_id


class Client:
    """
    Calls of `api`, huggingface_hub's, go through `ask`, with `where` as the repository. No message
    holds the token.
    """

    def __init__(self, target: Target):
        self.target = target
        self.token = get_token()
        if not self.token:
            raise PublishError(
                "No token: set HF_TOKEN, or run `hf auth login`, with a token that may write to "
                f"{target.repo_id}."
            )
        if not (self.token.isascii() and self.token.isprintable()):
            raise PublishError(
                "The token holds characters that no token has; copy it again from "
                "https://huggingface.co/settings/tokens."
            )
        self.api = HfApi(token=self.token)
        self.where = {"repo_id": target.repo_id, "repo_type": target.repo_type}

    def url(self) -> str:
        return f"{self.api.endpoint}/{self.target}"

    def branch(self) -> str:
        return self.target.revision or constants.DEFAULT_REVISION

    def ask(self, call: Callable[[], Any], absent: type[Exception] | None = None) -> Any:
        """
        The result of `call`, which is repeated while the Hub is only busy; None for an error of the
        kind `absent`. Other errors become a PublishError.
        """
        for attempt in range(1, TRIES + 1):
            try:
                return call()
            except PublishError:
                raise
            except (httpx2.HTTPError, OfflineModeIsEnabled, RuntimeError) as error:
                cause = _http_cause(error)
                if absent and isinstance(cause, absent):
                    return None
                if not _is_transient(cause) or attempt == TRIES:
                    raise PublishError(self._explain(cause)) from None
                seconds = _seconds_to_wait(cause, attempt)
                logger.info(
                    f"The Hub answered {_short(cause)}; trying again in {seconds:g} s "
                    f"({attempt + 1} of {TRIES})"
                )
                time.sleep(seconds)

    def _explain(self, error: Exception) -> str:
        status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
        words = _server_message(error)
        if _is_transient(error):
            message = (
                f"The Hub did not answer in {TRIES} tries ({_short(error)}). The "
                "repository is as it was, or complete; run the same command again."
            )
        elif status == 401:
            message = (
                f"The Hub does not accept the token. {words} Make a new one with the right to "
                "write at https://huggingface.co/settings/tokens, then `hf auth login` or HF_TOKEN."
            )
        elif status == 403:
            message = (
                f"The Hub does not let you write to {self.target}: {words or 'it says no more.'} "
                "If the token has no right to, take a name of your own (--repo_id USER/NAME), or a "
                "token with the right to write."
            )
        elif status in (409, 412):
            message = (
                f"{self.target}: {words} Somebody committed at the same time, or "
                "the name is taken by a repository of another type. Nothing of yours was "
                f"published. See {self.url()}, then run the command again."
            )
        elif isinstance(error, RevisionNotFoundError):
            message = f"{self.target} has no branch {self.branch()!r}."
        elif isinstance(error, RepositoryNotFoundError):
            kind = self.target.repo_type
            message = f"There is no {kind} {self.target.repo_id}{self._namesake()}."
        elif status is None:
            message = f"The Hub cannot be asked: {error}"
        else:
            message = f"The Hub refused: {_short(error)} {words}"
        return masked(message, self.token)

    def _namesake(self) -> str:
        """What else a repository that was not found may be, in words."""
        for kind in {*PATHS} - {self.target.repo_type}:
            with contextlib.suppress(httpx2.HTTPError):
                if self.api.repo_exists(self.target.repo_id, repo_type=kind):
                    return f": it is a {kind}. Give the name of a {self.target.repo_type}"
        return ", or it is private and the token has no right to see it"


def _http_cause(error: BaseException) -> BaseException:
    """The Hub's answer, or the lost connection, behind an error of the client; or that error."""
    cause = error
    while cause is not None and not isinstance(cause, (HfHubHTTPError, *LOST)):
        cause = cause.__cause__ or cause.__context__
    return cause or error


def _is_transient(error: BaseException) -> bool:
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in TRANSIENT
    return isinstance(error, LOST)


def _seconds_to_wait(error: Exception, attempt: int) -> float:
    if isinstance(error, HfHubHTTPError):
        with contextlib.suppress(ValueError):
            return float(max(0, int(error.response.headers.get("Retry-After", ""))))
    return float(2 ** (attempt - 1))


def _short(error: Exception) -> str:
    if isinstance(error, HfHubHTTPError):
        return f"{error.response.status_code} {error.response.reason_phrase}".strip()
    return f"nothing ({type(error).__name__})"


def _server_message(error: Exception) -> str:
    lines = (getattr(error, "server_message", None) or "").strip().splitlines()
    return lines[0][:200] if lines else ""
