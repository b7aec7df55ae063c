"""Tokens and keys: none of them is published, and none is shown."""

import re
from pathlib import Path

from . import PublishError

SECRETS = (
    r"(?:hf|api_org)_[A-Za-z0-9]{30,}",  # Hugging Face
    r"hf_(?:oauth|jwt|app)_[\w.-]{20,}",
    r"gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{30,}",
    r"AKIA[0-9A-Z]{16}",  # Amazon
    r"sk-[A-Za-z0-9_-]{32,}",
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
)
SECRET = re.compile(rf"(?<![A-Za-z0-9])(?:{'|'.join(SECRETS)})")
SECRET_BYTES = re.compile(SECRET.pattern.encode())


def masked(text: str, token: str | None = None) -> str:
    """`text` with "(token)" for `token` and for what looks like one."""
    return SECRET.sub("(token)", text.replace(token, "(token)") if token else text)


def check_no_secret(folder: Path, token: str | None = None) -> None:
    """Raises PublishError if a file, or its name, holds `token` or what looks like one."""
    for file in sorted(folder.rglob("*")):
        name = str(file.relative_to(folder))
        content = name.encode() + b"\n" + (file.read_bytes() if file.is_file() else b"")
        if SECRET_BYTES.search(content) or (token and token.encode() in content):
            raise PublishError(
                f"{folder}: {masked(name, token)} holds a token or key. Nothing was sent. Take it "
                "out, and revoke it: a token of the Hub at https://huggingface.co/settings/tokens."
            )
