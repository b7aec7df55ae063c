"""publishing/hub.py through the real client, against a Hub on loopback that has its bad days."""

import json
import os

import pytest
from huggingface_hub import constants

from publishing.hub import PublishError, Target
from publishing.hub import publish as publish_folder
from tests.publishing.hub_server import Repository, files_of
from training.console import show_messages

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:httpx2")


@pytest.fixture
def folder(tmp_path):
    run = tmp_path / "run"
    (run / "onnx").mkdir(parents=True)
    (run / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Faces\n")
    (run / "config.json").write_text("{}")
    (run / "model.safetensors").write_bytes(os.urandom(300_000))
    (run / "onnx" / "model.onnx").write_bytes(os.urandom(5000))
    return run


@pytest.fixture
def publish(client, folder, tmp_path, capsys):
    """Publishes `folder`; returns what was said, ending with the commit or the error."""
    waited = []
    client.setattr("time.sleep", waited.append)  # the client's own waits, too
    show_messages()

    def run(token="hf_writer", home="home", variables=None, **options):
        client.setenv("HF_TOKEN", token or "")
        client.setattr(constants, "HF_HOME", str(tmp_path / home))
        target = Target(**{"repo_id": "me/faces"} | options)
        waited.clear()
        try:
            end = f"commit {publish_folder(folder, target, 'Publish', variables=variables)}"
        except PublishError as error:
            end = f"PublishError {error}"
        said = capsys.readouterr()
        assert not token or token not in said.out + said.err + end
        return f"{said.out}{end}\nwaited {waited}"

    return run


def is_whole(hub, folder):
    tree = dict(hub.repositories["models/me/faces"].tree)
    tree.pop(".gitattributes")
    return tree == files_of(folder)


def test_one_commit_holds_the_whole_folder_and_the_tag(hub, folder, publish):
    out = publish(tag="v1", private=True)
    repository = hub.repositories["models/me/faces"]
    assert repository.messages == ["initial", "Publish"] and repository.private
    assert is_whole(hub, folder)
    assert repository.tags == {"v1": repository.branches["main"]}
    assert f"commit {repository.branches['main']}" in out


def test_the_same_again_makes_no_commit(hub, folder, publish):
    publish(tag="v1")
    assert "holds these files already: no new commit" in publish(tag="v1")
    assert len(hub.repositories["models/me/faces"].commits) == 2
    (folder / "config.json").write_text('{"a": 1}')
    publish()
    assert is_whole(hub, folder) and len(hub.repositories["models/me/faces"].commits) == 3


@pytest.mark.parametrize(
    "place, answers",
    [
        ("/api/repos/create", [503]),
        ("/preupload/", [500]),
        ("/objects/batch", [(429, {"Retry-After": "7"})]),
        ("/lfs/", ["cut"]),
        ("/lfs/", [503, 503]),
        ("/commit/", [503, 500]),
        ("/commit/", ["cut"]),
        ("/commit/", [(429, {"Retry-After": "7"})]),
    ],
)
def test_what_passes_is_tried_again(hub, folder, publish, place, answers):
    hub.faults[place] = list(answers)
    out = publish()
    assert not hub.faults[place]
    assert is_whole(hub, folder) and hub.repositories["models/me/faces"].messages[1:] == ["Publish"]
    assert "waited []" not in out
    if place == "/commit/":
        assert "trying again in" in out and "(2 of 5)" in out
    if "Retry-After" in str(answers):
        assert "7.0" in out or "8.0" in out


def test_a_commit_whose_answer_was_lost_is_found_and_not_made_twice(hub, folder, publish):
    hub.faults["/commit/"] = ["lost"]
    out = publish()
    assert "trying again" in out and "commit " in out
    assert is_whole(hub, folder) and hub.repositories["models/me/faces"].messages[1:] == ["Publish"]


def test_a_hub_that_stays_down_leaves_the_old_state_and_the_next_try_succeeds(hub, folder, publish):
    publish()
    before = files_of(folder)
    (folder / "config.json").write_text('{"a": 1}')
    hub.faults["/commit/"] = [503] * 5
    out = publish()
    assert "PublishError The Hub did not answer in 5 tries (503" in out
    tree = dict(hub.repositories["models/me/faces"].tree)
    tree.pop(".gitattributes")
    assert tree == before
    assert "commit " in publish() and is_whole(hub, folder)


def test_someones_newer_commit_is_not_overwritten(hub, folder, publish):
    publish()
    repository = hub.repositories["models/me/faces"]
    theirs = repository.add(repository.tree | {"README.md": b"edited"}, "Edit on the web")
    (folder / "config.json").write_text('{"a": 1}')
    out = publish()
    assert f"has a newer commit ({theirs[:8]})" in out and "--parent_commit" in out
    assert repository.tree["README.md"] == b"edited"
    publish(create_pr=True)
    assert repository.branches["main"] == theirs and "refs/pr/1" in repository.branches
    publish(parent_commit=theirs[:8])
    assert is_whole(hub, folder)


def test_a_commit_that_comes_in_between_is_not_overwritten(hub, folder, publish):
    hub.faults["/commit/"] = [412]
    assert "PublishError me/faces: fault 412 Somebody committed at the same time" in publish()
    assert list(hub.repositories["models/me/faces"].tree) == [".gitattributes"]


@pytest.mark.parametrize(
    "token, words",
    [
        (None, "No token: set HF_TOKEN, or run `hf auth login`"),
        ("hf_wrong", "The Hub does not accept the token"),
        (
            "hf_reader",
            "The Hub does not let you write to me/faces: You don't have the rights to wr",
        ),
    ],
)
def test_what_cannot_succeed_is_one_sentence_and_tried_once(hub, publish, token, words):
    out = publish(token=token)
    assert words in out and "waited []" in out
    assert len(hub.requests) <= 2 and not hub.repositories  # is it there? make it


def test_a_tag_that_is_taken_stops_it_before_anything_is_sent(hub, folder, publish):
    publish(tag="v1")
    repository = hub.repositories["models/me/faces"]
    before = dict(repository.tree)
    (folder / "config.json").write_text('{"a": 1}')
    out = publish(tag="v1")
    assert "The tag v1 of me/faces is taken" in out and "hf repos tag delete me/faces v1" in out
    assert repository.tree == before
    assert "commit " in publish(tag="v2") and is_whole(hub, folder)
    assert repository.tags["v1"] != repository.tags["v2"] == repository.branches["main"]


def test_what_was_published_before_and_is_not_now_goes_and_foreign_files_stay(hub, folder, publish):
    publish()
    repository = hub.repositories["models/me/faces"]
    theirs = repository.add(repository.tree | {"notes.md": b"theirs"}, "Notes")
    (folder / "onnx" / "model.onnx").unlink()
    out = publish(parent_commit=theirs)
    assert "removed: onnx/model.onnx" in out
    assert set(repository.tree) == {".gitattributes", "notes.md", *files_of(folder)}
    assert repository.messages[3:] == ["Publish"]


def test_files_of_somebody_else_are_not_overwritten_by_a_first_publication(hub, folder, publish):
    publish(home="theirs")
    (folder / "config.json").write_text('{"a": 1}')
    out = publish(home="mine")
    head = hub.repositories["models/me/faces"].branches["main"]
    assert f"holds config.json, which this machine did not publish (commit {head[:8]})" in out
    assert len(hub.repositories["models/me/faces"].commits) == 2
    publish(home="mine", parent_commit=head[:8])
    assert is_whole(hub, folder)


@pytest.mark.parametrize(
    "text, theirs",
    [
        ("---\nlicense: mit\n---\n", False),
        ("---\ntitle: a\n---\n\nCheck out the configuration reference at https://hf.co/x\n", False),
        ("", False),
        ("---\nlicense: mit\n---\n# My faces\nWeeks of work.\n", True),
        ("Just words", True),
    ],
)
def test_a_readme_that_somebody_wrote_is_not_overwritten(hub, folder, publish, text, theirs):
    hub.repositories["models/me/faces"] = repository = Repository(private=False)
    head = repository.add({"README.md": text.encode()}, "initial")
    out = publish()
    assert (
        f"holds README.md, which this machine did not publish (commit {head[:8]})" in out
    ) == theirs
    assert (repository.tree["README.md"] == text.encode()) == theirs


def test_a_refusal_says_what_the_hub_said(hub, publish):
    hub.faults["/commit/"] = [(403, {"X-Error-Message": "Private storage quota exceeded."})]
    assert "not let you write to me/faces: Private storage quota exceeded." in publish()


def test_a_public_repository_is_not_taken_for_a_private_one(hub, folder, publish):
    publish()
    (folder / "config.json").write_text('{"a": 1}')
    out = publish(private=True)
    assert "me/faces is public, and a private repository was asked for" in out
    assert len(hub.repositories["models/me/faces"].commits) == 2


def test_a_pull_request_is_not_opened_twice(hub, folder, publish):
    publish(token="hf_writer", home="theirs")
    (folder / "config.json").write_text('{"a": 1}')
    repository = hub.repositories["models/me/faces"]
    hub.faults["/commit/"] = ["lost"]
    out = publish(token="hf_reader", home="mine", create_pr=True)
    assert "refs/pr/1 of me/faces holds these files: no new pull request" in out
    publish(token="hf_reader", home="mine", create_pr=True)
    assert [name for name in repository.branches if "pr" in name] == ["refs/pr/1"]
    (folder / "config.json").write_text('{"a": 2}')
    out = publish(token="hf_reader", home="mine", create_pr=True)
    assert f"Pull request: {hub.url}/me/faces/discussions/2" in out
    assert len(repository.messages) == 4 and json.loads(repository.tree["config.json"]) == {}


def test_a_repository_of_another_type_is_named(hub, publish):
    publish(repo_type="dataset")
    out = publish(create_pr=True)
    assert "There is no model me/faces: it is a dataset." in out
    hub.faults["/api/repos/create"] = [409]
    assert "There is no model me/faces: it is a dataset." in publish()


def test_variables_of_a_space_are_left_alone_when_it_is_refused(hub, folder, publish):
    publish(repo_type="space", variables={"MODEL_REVISION": "a"})
    space = hub.repositories["spaces/me/faces"]
    space.add(space.tree | {"config.json": b"theirs"}, "Edit on the web")
    (folder / "config.json").write_text('{"a": 1}')
    out = publish(repo_type="space", variables={"MODEL_REVISION": "b"})
    assert "has a newer commit" in out and space.variables == {"MODEL_REVISION": "a"}


@pytest.mark.parametrize("character", ["\x01", "é"])
def test_a_token_that_no_header_can_hold_is_not_shown(hub, publish, character):
    assert "holds characters that no token has" in publish(token=f"hf_{character}secret")
    assert not hub.requests


def test_debug_output_holds_no_token(hub, folder, script_at_hub):
    code = "import sys; from pathlib import Path; from publishing.hub import Target, publish\n"
    code += "sys.stderr = sys.stdout; publish(Path(sys.argv[1]), Target('me/faces'), 'Publish')"
    said = script_at_hub(code, folder, HF_DEBUG="1", HF_HUB_DISABLE_XET="1")
    assert "hf_writer" not in said and is_whole(hub, folder)


def test_a_branch_of_its_own(hub, folder, publish):
    publish(revision="next")
    repository = hub.repositories["models/me/faces"]
    assert list(repository.tree) == [".gitattributes"]
    assert "model.safetensors" in repository.commits[repository.branches["next"]]
