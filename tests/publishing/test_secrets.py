"""What the scan before publishing finds, in which files, and what it lets pass."""

import pytest

from publishing import PublishError
from publishing.secrets import check_no_secret, masked

pytest.importorskip("detect_secrets")

WORD = "aB3dE5fG7hJ9kL2mN4pQ6rS8tU0vW1xY" * 3
NUMBER = "0123456789abcdef0123456789abcdef01234567"
TOKENS = {
    "Hugging Face": f"hf_{WORD[:34]}",
    "GitHub": f"ghp_{WORD[:36]}",
    "GitLab": f"glpat-{WORD[:20]}",
    "Slack": f"xoxb-123456789012-{WORD[:24]}",
    "Slack app": f"xapp-1-A0123456789-1234567890-{NUMBER}",
    "Google": f"AIza{WORD[:35]}",
    "npm": f"npm_{WORD[:36]}",
    "PyPI": f"pypi-AgEIcHlwaS5vcmcC{WORD[:80]}",
    "Amazon": f"AKIA{'ABCDEFGH12345678'}",
    "Amazon, for a time": f"ASIA{'ABCDEFGH12345678'}",
    "OpenAI": f"sk-proj-{WORD[:48]}",
    "W&B": f"WANDB_API_KEY={NUMBER}",
}
LINES = {
    "npmrc": f"//registry.npmjs.org/:_authToken=npm_{WORD[:36]}",
    "npmrc, older": f"//registry.npmjs.org/:_authToken={NUMBER[:36]}",
    "netrc": f"machine api.wandb.ai\n  login user\n  password {NUMBER}",
    "Amazon's session": f"AWS_SESSION_TOKEN={WORD * 2}",
    "Amazon's secret": f"aws_secret_access_key = {WORD[:40]}",
    "a keyword": f"MY_API_KEY={NUMBER}",
    "Stripe": f"sk_live_{WORD[:24]}",
    "an address": "https://user:hunter2pass@example.com/x",
    "JWT": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFU",
}


@pytest.mark.parametrize("kind", TOKENS)
def test_tokens_are_found_in_files_of_any_kind_and_masked(tmp_path, kind):
    for content in (f"seed: 1\nkey: {TOKENS[kind]}\n".encode(), b"\0\1" + TOKENS[kind].encode()):
        (tmp_path / "run.yaml").write_bytes(content)
        with pytest.raises(PublishError, match="run.yaml holds a token or key") as error:
            check_no_secret(tmp_path)
        assert TOKENS[kind] not in str(error.value)
    assert masked(f"GET {TOKENS[kind]} failed") == "GET (token) failed"


@pytest.mark.parametrize("kind", LINES)
def test_what_a_scanner_knows_is_found_in_text(tmp_path, kind):
    (tmp_path / "run.yaml").write_text(f"one\n{LINES[kind]}\n")
    with pytest.raises(PublishError, match="run.yaml(, line 2,)? holds .*token or key") as error:
        check_no_secret(tmp_path)
    assert LINES[kind] not in str(error.value)
    if kind == "a keyword":
        (tmp_path / "run.yaml").write_text(f"{LINES[kind]}  # pragma: allowlist secret\n")
        check_no_secret(tmp_path)


def test_digests_addresses_and_words_are_no_secrets(tmp_path):
    (tmp_path / "run.yaml").write_text(
        f"weights_sha256: {NUMBER * 2}\nrevision: {NUMBER}\nhost: 93.184.215.14\n"
        "pooling: global-average-pooling-of-the-last-stage\ntask: risk-aware-training-of-networks\n"
    )
    check_no_secret(tmp_path)


def test_nobody_is_asked_whether_a_key_is_valid(tmp_path, monkeypatch):
    monkeypatch.setattr("socket.socket.connect", lambda *args: pytest.fail("connected"))
    (tmp_path / "notes.md").write_text(LINES["Stripe"])
    with pytest.raises(PublishError, match="line 1"):
        check_no_secret(tmp_path)
