"""A folder -> one commit on the Hub: all of it or nothing, tried again where that can help."""

import hashlib
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, GitRefs, constants
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.utils.sha import git_hash

from . import PublishError, last_published
from .client import Client, Target

FRONT_MATTER = re.compile(r"\A---\n.*?\n---(\n|\Z)", re.DOTALL)
OF_A_NEW_SPACE = "Check out the configuration reference at"  # the Hub's own words below it
PULL_REQUESTS = 10  # how many of the newest are searched for the same files

logger = logging.getLogger(__name__)


def publish(
    folder: Path, target: Target, message: str, *, variables: Mapping[str, str] | None = None
) -> str:
    """
    Args:
        folder: its files, with their folders, become the repository's. Of the others there, those
            that this machine published before are removed, and somebody else's stay.
        variables: a Space's, set before its files arrive.

    Returns:
        Id of the commit that holds these files, a new one or the one that had them already.

    Raises:
        PublishError: there is no token, no right to write or no answer in `TRIES` tries, somebody
            made a newer commit, or the tag is taken.
    """
    hub = Hub(target)
    files = {str(file.relative_to(folder)): file for file in folder.rglob("*") if file.is_file()}
    head = hub.make_ready()
    change = hub.change(files, head)
    hub.check_tag(files, head, change)
    if change:
        hub.check_nobody_else_committed(head, change)
    if variables and target.create_pr:
        logger.info(
            f"A pull request leaves the Space's variables as they are; it needs {variables}."
        )
        variables = None
    for key, value in (variables or {}).items():
        hub.set_variable(key, value)
    commit = hub.commit(files, head, change, message)
    if target.tag:
        hub.tag(commit)
    return commit


@dataclass(frozen=True)
class Change:
    """
    Paths in the repository: files that it lacks, that it has with other content, and that were
    published from here before and are not any more.
    """

    new: list[str]
    other: list[str]
    stale: list[str]

    def __bool__(self) -> bool:
        return bool(self.new or self.other or self.stale)


class Hub(Client):
    """The steps of `publish`."""

    def make_ready(self) -> str:
        """Makes the repository and its branch if they do not exist; returns the branch's commit."""
        info = self.info(absent=None if self.target.create_pr else RepositoryNotFoundError)
        if info is None:
            self.ask(self._create)
            info = self.info()
            self._remember(info.sha, [], constants.DEFAULT_REVISION)
        if self.target.private and info.private is False:
            raise PublishError(
                f"{self.target} is public, and a private repository was asked for. Nothing was "
                f"sent. Make it private at {self.url()}/settings, or take another name, or publish "
                "it publicly (a model or Space without --private, a data entry with --public)."
            )
        if info.private and not self.target.private:
            logger.info(f"{self.target} is private and stays so; see {self.url()}/settings.")
        branch = self.target.revision
        if not branch:
            return info.sha
        info = self.info(
            revision=branch, absent=None if self.target.create_pr else RevisionNotFoundError
        )
        if info is None:
            self.ask(lambda: self.api.create_branch(**self.where, branch=branch, exist_ok=True))
            info = self.info(revision=branch)
            self._remember(info.sha, [])
        return info.sha

    def _create(self) -> None:
        space_sdk = "gradio" if self.target.repo_type == "space" else None
        try:
            self.api.create_repo(**self.where, private=self.target.private, space_sdk=space_sdk)
        except HfHubHTTPError as error:
            if error.response.status_code != 409:  # it exists: an answer was lost
                raise

    def info(self, absent: type[Exception] | None = None, **options: Any) -> Any:
        """`HfApi.repo_info`; None for an error of the kind `absent`."""
        return self.ask(lambda: self.api.repo_info(**self.where, **options), absent)

    def set_variable(self, key: str, value: str) -> None:
        self.ask(lambda: self.api.add_space_variable(self.target.repo_id, key, value))

    def change(self, files: Mapping[str, Path], revision: str) -> Change:
        """What makes the tree of `revision` hold `files`."""
        info = self.info(revision=revision, files_metadata=True)
        there = {
            entry.rfilename: entry.lfs.sha256 if entry.lfs else entry.blob_id
            for entry in info.siblings or []
        }
        before = last_published.read(self._place())
        return Change(
            new=[name for name in files if name not in there],
            other=[name for name in files if name in there and not _is(files[name], there[name])],
            stale=[
                name for name in (before.files if before else []) if name in {*there} - {*files}
            ],
        )

    def check_nobody_else_committed(self, head: str, change: Change) -> None:
        if self.target.create_pr:
            return
        before = last_published.read(self._place())
        known = self.target.parent_commit or (before.commit if before else None)
        how_to_go_on = (
            f"See {self.url()}/commits/{self.branch()}; to publish over it all the same, "
            f"--parent_commit {head[:8]}; or propose the change by --create_pr. Nothing was sent."
        )
        if known and not head.startswith(known):
            raise PublishError(
                f"{self.target} has a newer commit ({head[:8]}) than the one published last "
                f"({known[:8]}): somebody changed it. {how_to_go_on}"
            )
        theirs = sorted({*change.other} - {".gitattributes"})
        if "README.md" in theirs and not (known or self._has_words(head)):
            theirs.remove("README.md")
        if theirs and not known:
            raise PublishError(
                f"{self.target} holds {', '.join(theirs[:3])}{', ...' if theirs[3:] else ''}, "
                f"which this machine did not publish (commit {head[:8]}). {how_to_go_on}"
            )

    def _has_words(self, revision: str) -> bool:
        """Whether README.md is more than what the Hub writes into a new repository."""
        path = self.ask(
            lambda: self.api.hf_hub_download(**self.where, filename="README.md", revision=revision)
        )
        text = FRONT_MATTER.sub("", Path(path).read_text(errors="replace")).strip()
        return bool(text) and not text.startswith(OF_A_NEW_SPACE)

    def commit(self, files: Mapping[str, Path], parent: str, change: Change, message: str) -> str:
        """One commit with the change; no commit if there is nothing to change."""
        if not change:
            logger.info(f"{self.target} holds these files already: no new commit.")
            return self._remember(parent, files)
        if change.stale:
            logger.info(f"No longer published, so removed: {', '.join(change.stale)}")

        def send() -> str:
            if arrived := self._arrived(files, parent):
                return arrived
            done = self.api.create_commit(
                **self.where,
                operations=[CommitOperationAdd(name, file) for name, file in files.items()]
                + [CommitOperationDelete(name) for name in change.stale],
                commit_message=message,
                revision=self.target.revision,
                create_pr=self.target.create_pr,
                parent_commit=None if self.target.create_pr else parent,
            )
            if done.pr_url:
                logger.info(f"Pull request: {done.pr_url}")
            return done.oid

        commit = self.ask(send)
        return commit if self.target.create_pr else self._remember(commit, files)

    def _arrived(self, files: Mapping[str, Path], parent: str) -> str | None:
        """The commit that an earlier attempt made, though its answer was lost."""
        if not self.target.create_pr:
            head = self.info(revision=self.target.revision).sha
            return head if head != parent and not self.change(files, head) else None
        refs = self._refs(include_pull_requests=True).pull_requests or []
        for ref in sorted(refs, key=lambda ref: int(ref.ref.split("/")[-1]))[-PULL_REQUESTS:]:
            if not self.change(files, ref.target_commit):
                logger.info(f"{ref.ref} of {self.target} holds these files: no new pull request.")
                return ref.target_commit
        return None

    def check_tag(self, files: Mapping[str, Path], head: str, change: Change) -> None:
        """Raises PublishError where the tag is taken by other files, before anything is sent."""
        taken = self._tags().get(self.target.tag) if self.target.tag else None
        if taken and (change if taken == head else self.change(files, taken)):
            raise PublishError(
                f"The tag {self.target.tag} of {self.target} is taken: it is at {taken[:8]}, which "
                "holds other files. Nothing was sent. Choose another --tag, or delete that one: "
                f"hf repos tag delete {self.target.repo_id} {self.target.tag} --type "
                f"{self.target.repo_type}"
            )

    def tag(self, commit: str) -> None:
        tag = self.target.tag
        if tag not in self._tags():
            self.ask(
                lambda: self.api.create_tag(**self.where, tag=tag, revision=commit, exist_ok=True)
            )

    def _tags(self) -> dict[str, str]:
        return {ref.name: ref.target_commit for ref in self._refs().tags}

    def _refs(self, **options: Any) -> GitRefs:
        return self.ask(lambda: self.api.list_repo_refs(**self.where, **options))

    def _place(self, branch: str | None = None) -> str:
        return f"{self.url()}@{branch or self.branch()}"

    def _remember(self, commit: str, files: Iterable[str], branch: str | None = None) -> str:
        try:
            last_published.write(self._place(branch), commit, sorted(files))
        except OSError as error:
            logger.info(f"This commit could not be noted as the last one published: {error}")
        return commit


def _is(file: Path, digest: str) -> bool:
    """digest: the Hub's, which is SHA-256 for a file in LFS and git's hash for others."""
    content = file.read_bytes()
    return digest in (git_hash(content), hashlib.sha256(content).hexdigest())
