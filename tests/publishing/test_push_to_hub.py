"""push_to_hub.py from the command line: dry run, the real client, and back again."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import push_to_hub
from publishing import PublishError
from tests.publishing.conftest import predict_here
from tests.publishing.hub_server import Repository, files_of

ROOT = Path(__file__).parents[2]
BACK = """
import json, sys
for name in (
    *("modeling", "training", "publishing", "prediction", "fer_efficientnet", "datasets"),
    *("accelerate", "evaluate", "cv2", "onnx", "onnxruntime", "matplotlib", "scipy", "sklearn"),
    *("pandas", "pyarrow", "jinja2", "tensorboard", "gradio", "imblearn", "skimage"),
):
    sys.modules[name] = None  # a machine with transformers, torch and timm alone
from transformers import AutoImageProcessor, AutoModelForImageClassification, pipeline
where, face = sys.argv[1:]
options = {"revision": "v1", "trust_remote_code": True}
scores = pipeline("image-classification", model=where, **options)(face, top_k=7)
AutoModelForImageClassification.from_pretrained(where, **options)
AutoImageProcessor.from_pretrained(where, **options)
from huggingface_hub import snapshot_download
print(json.dumps([snapshot_download(where, revision="v1"), scores]))
"""


def test_model_goes_up_and_comes_back(client, hub, run, staged, tmp_path, capsys, script_at_hub):
    push_to_hub.main(["model", str(run), "--repo_id", "me/faces", "--tag", "v1"])
    said = capsys.readouterr()
    assert f"Published as {hub.repositories['models/me/faces'].tags['v1'][:8]}" in said.out
    assert "hf_writer" not in said.out + said.err
    face = tmp_path / "face.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 48), np.uint8)).save(face)
    expected = predict_here(run, face.read_bytes())
    for more in ({}, {"HF_HUB_OFFLINE": "1"}):  # then from the cache
        back = script_at_hub(BACK, "me/faces", face, **more)
        snapshot, scores = json.loads(back.splitlines()[-1])
        for entry in scores:
            assert entry["score"] == pytest.approx(expected[entry["label"]], abs=1e-5)
    downloaded = files_of(Path(snapshot))
    assert downloaded.pop(".gitattributes") and downloaded == files_of(staged)


def test_space_is_pinned_to_the_models_commit(client, hub, tmp_path, capsys):
    hub.repositories["models/me/faces"] = Repository(private=True)
    commit = hub.repositories["models/me/faces"].add({"config.json": b"{}"}, "initial")
    (tmp_path / "space").mkdir()
    (tmp_path / "space" / "app.py").touch()
    (tmp_path / "space" / "requirements.txt").write_text("gradio\ntorch==2.15.0\n")
    (tmp_path / "space" / "README.md").write_text(
        "---\nsdk: gradio\nmodels:\n  - USER/MODEL\n---\nUSER/NAME at USER-NAME.hf.space\n"
    )
    (tmp_path / "space" / ".env").touch()
    (tmp_path / "space" / "Dockerfile").touch()
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "video.py").write_text("FRAMES = 1")
    (tmp_path / "space" / "prediction").symlink_to("../shared")
    space = ["space", str(tmp_path / "space"), "--repo_id", "me/demo"]
    push_to_hub.main([*space, "--model_id", "me/faces"])
    said = capsys.readouterr().out
    repository = hub.repositories["spaces/me/demo"]
    assert len(repository.commits) == 2 and not {".env", "Dockerfile"} & set(repository.tree)
    assert repository.tree["prediction/video.py"] == b"FRAMES = 1"  # not a link
    assert repository.tree["app.py"] == b""
    readme = b"---\nsdk: gradio\nmodels:\n  - me/faces\n---\nme/demo at me-demo.hf.space\n"
    assert repository.tree["README.md"] == readme
    assert "The model is private: give the Space a secret HF_TOKEN" in said
    assert repository.variables == {"MODEL_ID": "me/faces", "MODEL_REVISION": commit}
    assert f"{hub.url}/spaces/me/demo" in said


def test_a_static_space_holds_the_page_and_its_model(client, hub, tmp_path):
    """Any classes; the runtime comes from npm, which no test here asks."""
    model = {"config.json": {"id2label": {"0": "calm", "1": "cross"}},
             "preprocessor_config.json": {"size": {"height": 32}, "num_channels": 1,
                                          "image_mean": [0.5], "image_std": [0.25]}}  # fmt: skip
    for name, content in model.items():
        (tmp_path / name).write_text(json.dumps(content))
    static = ["space", str(tmp_path), "--static", "--repo_id", "me/page", "--model_id", "me/faces"]
    with pytest.raises(RuntimeError, match="model.onnx is missing"):
        push_to_hub.main(static)
    (tmp_path / "model.onnx").write_bytes(b"network")
    (tmp_path / "face_detection_yunet.onnx").write_bytes(b"detector")
    client.setattr("space.assemble.bring_runtime", lambda folder: None)
    push_to_hub.main(static)
    repository = hub.repositories["spaces/me/page"]
    assert repository.sdk == "static" and repository.variables == {}
    assert {"index.html", "worker.js", "page.css"} < {*repository.tree}
    assert repository.tree["model.onnx"] == b"network"
    assert repository.tree["face_detection_yunet.onnx"] == b"detector"
    assert json.loads(repository.tree["model.json"])["classes"] == ["calm", "cross"]
    assert b"sdk: static" in repository.tree["README.md"]
    assert b"  - me/faces\n" in repository.tree["README.md"]


def test_a_space_is_the_folder_space_unless_said_otherwise():
    ids = ["--repo_id", "me/x", "--model_id", "me/y"]
    assert push_to_hub.parse(["space", *ids]).source == Path("space")
    assert push_to_hub.parse(["space", "my_space", *ids]).source == Path("my_space")
    assert push_to_hub.parse(["space", "--static", *ids]).source == Path("model")


@pytest.mark.parametrize("kind", ["model", "dataset", "space"])
def test_help_of_each_kind_has_commands_that_can_be_typed(capsys, kind):
    with pytest.raises(SystemExit):
        push_to_hub.main([kind, "--help"])
    commands = [line for line in capsys.readouterr().out.splitlines() if "python push" in line]
    assert len(commands) >= 2
    for command in commands:
        args = push_to_hub.parse(shlex.split(command)[2:])
        assert args.kind == kind and args.source


TOKEN = f"hf_{'a' * 34}"


@pytest.mark.parametrize(
    "argv, message",
    [
        ([], "the following arguments are required: model | dataset | space"),
        (["run", "--repo_id", "me/x"], "invalid choice: 'run'"),
        (["model", "--repo_id", "me/x"], "the following arguments are required: RUN_DIR"),
        (["model", "run"], "the following arguments are required: --repo_id"),
        (["model", "run", "--repo_id", "name"], "must be USER/NAME"),
        (["model", "run", "--repo_id", "a/b/c"], "--repo_id: "),
        (["space", "--repo_id", "me/x", "--model_id", "name"], "--model_id must be USER/NAME"),
        (["dataset", "synthetic", "--repo_id", "me/x", "--public"], "needs --right_to_publish"),
        (["dataset", "x", "--repo_id", "me/x", "--classes", "any"], "any needs --dataset_name"),
        (["space", "--repo_id", "me/x"], "the following arguments are required: --model_id"),
        (["model", "run", "--repo_id", "me/x", "--public"], "unrecognized arguments: --public"),
        (["dataset", "x", "--repo_id", "me/x", "--private"], "unrecognized arguments: --private"),
        (["dataset", "x", "--repo_id", "me/x", "--no_onnx"], "unrecognized arguments: --no_onnx"),
        (["model", "run", "--repo_id", "me/x", "--create_pr", "--tag", "v1"], "without --tag"),
        (
            ["model", "run", "--repo_id", "me/x", "--create_pr", "--parent_commit", "a"],
            "--parent_commit",
        ),
        (["model", "run", "--repo_id", "me/x", "--token", TOKEN], "--token (token)"),
        (["model", "run", "--repo_id", TOKEN], "must be USER/NAME, but it is '(token)'"),
    ],
)
def test_wrong_commands_say_what_is_missing(capsys, argv, message):
    with pytest.raises(SystemExit):
        push_to_hub.main(argv)
    said = capsys.readouterr()
    assert message in said.err and TOKEN not in said.out + said.err


@pytest.mark.parametrize(
    "argv, message",
    [
        (["--help"], ""),
        (["model", "nowhere", "--repo_id", "me/x"], "nowhere: model.safetensors, config.json, "),
        (["dataset", "nowhere.csv", "--repo_id", "me/x"], "nowhere.csv: no such file or folder"),
        (["space", "nowhere", "--repo_id", "me/x", "--model_id", "me/y"], "nowhere: app.py, "),
        (
            ["space", "nowhere", "--static", "--repo_id", "me/x", "--model_id", "me/y"],
            "nowhere: model.onnx is missing",
        ),
    ],
)
def test_help_and_wrong_paths_need_nothing_that_takes_seconds(argv, message):
    code = "import push_to_hub, sys\ntry: push_to_hub.main(sys.argv[1:])\nfinally: "
    code += "print({'torch', 'transformers', 'timm', 'onnx', 'datasets'} & {*sys.modules})"
    command = [sys.executable, "-c", code, *argv]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert message in done.stderr and done.stdout.endswith("set()\n")


@pytest.mark.parametrize("kind", ["model", "dataset", "space"])
def test_a_folder_that_is_not_empty_is_not_written_to(tmp_path, kind):
    (tmp_path / "mine").touch()
    more = ["--model_id", "me/y"] if kind == "space" else []
    with pytest.raises(PublishError, match="exists and is not empty; give a new folder"):
        push_to_hub.main([kind, "space", "--repo_id", "me/x", "--dry_run", str(tmp_path), *more])


def test_a_clone_without_links_is_told_what_to_do(tmp_path):
    for name in ("app.py", "requirements.txt"):
        (tmp_path / name).write_text("x")
    (tmp_path / "README.md").write_text("---\nsdk: gradio\n---\n")
    (tmp_path / "prediction").write_text("../prediction")
    with pytest.raises(PublishError, match="prediction: expected a link, but found a text file"):
        push_to_hub.main(
            ["space", str(tmp_path), "--repo_id", "me/x", "--model_id", "me/y"]
            + ["--dry_run", str(tmp_path / "dry")]
        )
