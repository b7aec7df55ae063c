"""
Tokens and keys of known forms are neither published nor shown.

detect-secrets searches the text files; the patterns below search all files and mask messages.
Neither finds a secret of no known form, such as a password in prose.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from . import PublishError

SECRETS = (
    r"(?:hf|api_org)_[A-Za-z0-9]{30,}",  # Hugging Face
    r"hf_(?:oauth|jwt|app)_[\w.-]{20,}",
    r"gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{30,}",
    r"gl(?:pat|dt|ptt|rt|cbt|ft|imt|agent|oas|soat|ffct)-[\w-]{20,}",  # GitLab
    r"xox[abeoprs]-[A-Za-z0-9-]{10,}|xapp-[A-Za-z0-9-]{20,}|hooks\.slack\.com/services/[\w/]{20,}",
    r"AIza[\w-]{35}|ya29\.[\w-]{20,}|GOCSPX-[\w-]{20,}",  # Google
    r"npm_[A-Za-z0-9]{36}|pypi-[\w-]{50,}",
    r"A(?:KIA|SIA)[0-9A-Z]{16}",  # Amazon
    r"sk-[A-Za-z0-9_-]{32,}",
    r"WANDB_API_KEY\W{1,4}\w{40}|AWS_SESSION_TOKEN\W{1,4}[\w/+=]{100,}",
    r"_authToken\s*=\s*[\w-]{20,}",  # npm's older form
    r"machine\s+\S+\s+(?:login\s+\S+\s+)?password\s+\S{20,}",  # .netrc
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
)
SECRET = re.compile(rf"(?<![A-Za-z0-9])(?:{'|'.join(SECRETS)})")
SECRET_BYTES = re.compile(SECRET.pattern.encode())
# Digests of files look like the first two, and an address is no secret.
IGNORED = {"Base64HighEntropyString", "HexHighEntropyString", "IPPublicDetector"}


def masked(text: str, token: str | None = None) -> str:
    """`text` with "(token)" in place of `token` and of what looks like one."""
    return SECRET.sub("(token)", text.replace(token, "(token)") if token else text)


def check_no_secret(folder: Path, token: str | None = None) -> None:
    """
    Raises:
        PublishError: a file, or its name, holds `token` or what looks like one.
        ImportError: detect-secrets is missing.
    """
    files = sorted(folder.rglob("*"))
    for file in files:
        name = str(file.relative_to(folder))
        content = name.encode("utf-8", "surrogateescape") + b"\n"
        content += file.read_bytes() if file.is_file() else b""
        if SECRET_BYTES.search(content) or (token and token.encode() in content):
            raise PublishError(
                f"{folder}: {masked(name, token)} holds a token or key. Nothing was sent. Take it "
                "out, and revoke it: a token of the Hub at https://huggingface.co/settings/tokens."
            )
    for file, line, kind in _detected([file for file in files if file.is_file()]):
        raise PublishError(
            f"{folder}: {file.relative_to(folder)}, line {line}, holds what looks like a token or "
            f"key ({kind}). Nothing was sent. Take it out and revoke it; or, if it is none, add a "
            "comment to the line: pragma: allowlist secret."
        )


def _detected(files: list[Path]) -> Iterator[tuple[Path, int, str]]:
    """What detect-secrets finds: file, line, kind. It asks nobody whether a key is valid."""
    from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
    from detect_secrets.core.scan import scan_file
    from detect_secrets.settings import transient_settings

    names = {plugin.__name__ for plugin in get_mapping_from_secret_type_to_class().values()}
    plugins = [{"name": name} for name in sorted(names - IGNORED)]
    with transient_settings({"plugins_used": plugins}):
        for file in files:
            if b"\0" not in file.read_bytes():
                for secret in scan_file(str(file)):
                    yield file, secret.line_number, secret.type
