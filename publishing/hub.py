"""A folder -> one commit on the Hub: all of it or nothing, tried again where that can help."""

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx2
from huggingface_hub import CommitOperationAdd, HfApi, constants, get_token
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.utils.sha import git_hash

TRIES = 5
TRANSIENT = (408, 429, 500, 502, 503, 504)
LOST = (httpx2.TimeoutException, httpx2.NetworkError, httpx2.RemoteProtocolError)


class PublishError(RuntimeError):
    """Nothing was published, or not all of it; the message says what is there and what to do."""


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
        return self.repo_id if self.repo_type == "model" else f"{self.repo_type}s/{self.repo_id}"


def publish(
    folder: Path,
    target: Target,
    message: str,
    *,
    variables: Mapping[str, str] | None = None,
    say: Callable[[str], None] = print,
) -> str:
    """
    Args:
        folder: its files, with their folders, become the repository's; others there stay.
        variables: of a Space, set before its files arrive.

    Returns:
        Id of the commit that holds these files, new or found.

    Raises:
        PublishError: no token, no right, someone's newer commit, or the Hub did not answer in
            `TRIES` tries.
    """
    hub = Hub(target, say)
    hub.make_repository()
    for key, value in (variables or {}).items():
        hub.set_variable(key, value)
    files = {str(file.relative_to(folder)): file for file in folder.rglob("*") if file.is_file()}
    commit = hub.commit(files, message)
    if target.tag:
        hub.tag(commit)
    return commit


class Hub:
    """huggingface_hub's client for one target, with errors in words and a token that stays here."""

    def __init__(self, target: Target, say: Callable[[str], None]):
        self.target, self.say = target, say
        self.token = get_token()
        if not self.token:
            raise PublishError(
                "No token: set HF_TOKEN, or run `hf auth login`, with a token that may write to "
                f"{target.repo_id}."
            )
        self.api = HfApi(token=self.token)
        self.where = {"repo_id": target.repo_id, "repo_type": target.repo_type}

    def make_repository(self) -> None:
        self._try(
            lambda: self.api.create_repo(
                **self.where,
                private=self.target.private,
                exist_ok=True,
                space_sdk="gradio" if self.target.repo_type == "space" else None,
            )
        )
        if self.target.revision:
            self._try(
                lambda: self.api.create_branch(
                    **self.where, branch=self.target.revision, exist_ok=True
                )
            )

    def set_variable(self, key: str, value: str) -> None:
        self._try(lambda: self.api.add_space_variable(self.target.repo_id, key, value))

    def head(self) -> str:
        """Id of the newest commit."""
        return self._try(
            lambda: self.api.repo_info(**self.where, revision=self.target.revision)
        ).sha

    def commit(self, files: dict[str, Path], message: str) -> str:
        """One commit of path in the repository -> file; none if they are all there."""
        parent = self.head()
        if self._holds(files, parent):
            self.say(f"{self.target} holds these files already: no new commit.")
            return self._remember(parent)
        self._check_nobody_else_committed(parent)

        def send() -> str:
            # after an answer that was lost: the commit may have arrived all the same
            head = self.head()
            if head != parent and self._holds(files, head):
                return head
            operations = [CommitOperationAdd(name, file) for name, file in files.items()]
            return self.api.create_commit(
                **self.where,
                operations=operations,
                commit_message=message,
                revision=self.target.revision,
                create_pr=self.target.create_pr,
                parent_commit=None if self.target.create_pr else parent,
            ).oid

        commit = self._try(send)
        return commit if self.target.create_pr else self._remember(commit)

    def tag(self, commit: str) -> None:
        tag = self.target.tag
        refs = self._try(lambda: self.api.list_repo_refs(**self.where))
        found = {ref.name: ref.target_commit for ref in refs.tags}
        if tag not in found:
            self._try(
                lambda: self.api.create_tag(**self.where, tag=tag, revision=commit, exist_ok=True)
            )
        elif found[tag] != commit:
            raise PublishError(
                f"The files are published as {commit[:8]}, but the tag {tag} is taken: it is at "
                f"{found[tag][:8]}. Choose another --tag."
            )

    def _holds(self, files: dict[str, Path], revision: str) -> bool:
        """Whether every file is at `revision` with the same bytes."""
        info = self._try(
            lambda: self.api.repo_info(**self.where, revision=revision, files_metadata=True)
        )
        remote = {
            entry.rfilename: entry.lfs.sha256 if entry.lfs else entry.blob_id
            for entry in info.siblings or []
        }
        return all(
            remote.get(name) in (git_hash(content := file.read_bytes()), _sha256(content))
            for name, file in files.items()
        )

    # The commit that this machine published last, so that somebody's edit since then is noticed.

    def _check_nobody_else_committed(self, head: str) -> None:
        known = self.target.parent_commit or _read_record().get(self._key())
        if known and not head.startswith(known) and not self.target.create_pr:
            raise PublishError(
                f"{self.target} has a newer commit ({head[:8]}) than the one published last "
                f"({known[:8]}): somebody changed it. See {self.url()}/commits/main; to publish "
                f"over it all the same, --parent_commit {head[:8]}; or propose the change by "
                "--create_pr."
            )

    def _remember(self, commit: str) -> str:
        record = _read_record() | {self._key(): commit}
        _record_file().parent.mkdir(parents=True, exist_ok=True)
        _record_file().write_text(json.dumps(record, indent=1))
        return commit

    def _key(self) -> str:
        return f"{self.url()}@{self.target.revision or constants.DEFAULT_REVISION}"

    def url(self) -> str:
        return f"{self.api.endpoint}/{self.target}"

    def _try(self, call: Callable):
        """`call`, again while the Hub is only busy; its other answers become a PublishError."""
        for attempt in range(1, TRIES + 1):
            try:
                return call()
            except PublishError:
                raise
            except (HfHubHTTPError, RuntimeError, *LOST) as error:
                cause = _http_cause(error)
                if cause is None:
                    raise
                if not _is_transient(cause) or attempt == TRIES:
                    raise PublishError(self._in_words(cause)) from None
                seconds = _seconds_to_wait(cause, attempt)
                self.say(
                    f"The Hub answered {_short(cause)}; trying again in {seconds:g} s "
                    f"({attempt + 1} of {TRIES})"
                )
                time.sleep(seconds)

    def _in_words(self, error: Exception) -> str:
        status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
        if _is_transient(error):
            words = (
                f"The Hub did not answer in {TRIES} tries ({_short(error)}). What was there is as "
                "it was, or whole; run the same command again."
            )
        elif status == 401:
            words = (
                "The Hub does not accept the token. Make a new one with the right to write at "
                "https://huggingface.co/settings/tokens, then `hf auth login` or HF_TOKEN."
            )
        elif status == 403:
            words = (
                f"The token has no right to write to {self.target}. Take a name of your own "
                "(--repo_id USER/NAME), or a token with the right to write."
            )
        elif status in (409, 412):
            words = (
                f"{self.target}: {_server_message(error)} Somebody committed at the same time, or "
                "the name is taken by a repository of another type. Nothing of yours was "
                f"published. See {self.url()}, then run the command again."
            )
        elif isinstance(error, RevisionNotFoundError):
            words = f"{self.target} has no branch {self.target.revision!r}."
        elif isinstance(error, RepositoryNotFoundError):
            words = (
                f"{self.target} is not there, is private without your right to see it, or is a "
                "repository of another type."
            )
        else:
            words = f"The Hub refused: {_short(error)} {_server_message(error)}"
        return words.replace(self.token, "(token)")


def _http_cause(error: BaseException | None) -> Exception | None:
    """The Hub's answer, or the lost connection, behind an error of the client."""
    while error is not None and not isinstance(error, (HfHubHTTPError, *LOST)):
        error = error.__cause__ or error.__context__
    return error


def _is_transient(error: Exception) -> bool:
    return isinstance(error, LOST) or error.response.status_code in TRANSIENT


def _seconds_to_wait(error: Exception, attempt: int) -> float:
    if isinstance(error, HfHubHTTPError):
        with contextlib.suppress(ValueError):
            return float(error.response.headers.get("Retry-After", ""))
    return float(2 ** (attempt - 1))


def _short(error: Exception) -> str:
    if isinstance(error, HfHubHTTPError):
        return f"{error.response.status_code} {error.response.reason_phrase}".strip()
    return f"nothing ({type(error).__name__})"


def _server_message(error: Exception) -> str:
    lines = (getattr(error, "server_message", None) or "").strip().splitlines()
    return lines[0][:200] if lines else ""


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _record_file() -> Path:
    return Path(constants.HF_HOME) / "fer_efficientnet" / "published.json"


def _read_record() -> dict[str, str]:
    try:
        return json.loads(_record_file().read_text())
    except (OSError, ValueError):
        return {}
