"""push_to_hub.py from the command line: dry run, the real client, and back again."""

import ast
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import datasets
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import yaml
from huggingface_hub import DatasetCard, ModelCard
from PIL import Image
from safetensors.torch import load_file, save_file
from training.report import predict_in_clean_process
from training.report.card import write_model_card
from training.report.quoted import weights_sha256

import push_to_hub
import train
from modeling import FerEfficientNetForImageClassification, FerEfficientNetImageProcessor
from publishing import PublishError, onnx_kept
from publishing.model import _without_folders, without_poor_int8
from publishing.onnx_export import onnx_faces, quantize
from tests.publishing.hub_server import files_of
from training.data import (
    LABELS,
    decode_split,
    draw_faces,
    encode_png,
    load_fer2013,
    packed,
    with_validation,
)
from training.data.splits import paper_split

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
where, face, folder = sys.argv[1:]
options = {"revision": "v1", "trust_remote_code": True}
scores = pipeline("image-classification", model=where, **options)(face, top_k=7)
AutoModelForImageClassification.from_pretrained(where, **options)
AutoImageProcessor.from_pretrained(where, **options)
from huggingface_hub import snapshot_download
print(json.dumps([snapshot_download(where, revision="v1"), scores]))
"""

MODEL = ["model", "--repo_id", "me/faces"]
SAME_ROWS = """
import sys
from training.data import load_fer2013
back, original = load_fer2013("me/fer2013"), load_fer2013(sys.argv[1])
assert list(back) == list(original) == ["train", "validation", "test"]
for name in original:
    assert back[name]["label"][:] == original[name]["label"][:]
    for one, other in zip(back[name]["image"], original[name]["image"]):
        assert one.tobytes() == other.tobytes()
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "small"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "load_back", lambda *_: "")  # publishing does it
        train.main(
            ["--dataset", "synthetic", "--synthetic_images", "100"]
            + ["--backbone", "test_efficientnet", "--image_size", "32"]
            + ["--per_device_train_batch_size", "16", "--num_train_epochs", "2"]
            + ["--disable_tqdm", "true", "--use_cpu", "--output_dir", str(folder)]
        )
    return folder


@pytest.fixture(scope="module")
def staged(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dry") / "run"
    push_to_hub.main(MODEL + [str(run), "--tag", "v1", "--dry_run", str(folder)])
    return folder


@pytest.fixture
def at_hub(hub, tmp_path):
    """Runs a command whose Hub is the one on loopback, with nothing cached."""
    environment = {name: value for name, value in os.environ.items() if name[:3] != "HF_"}
    environment |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home")}
    environment |= {"HF_TOKEN": "hf_writer", "HF_HUB_DISABLE_XET": "1"}

    def call(*command, **more):
        done = subprocess.run(
            [sys.executable, *command],
            cwd=ROOT,
            env=environment | more,
            capture_output=True,
            text=True,
        )
        assert "hf_writer" not in done.stdout + done.stderr
        return done

    return call


def test_dry_run_holds_the_hub_folder_and_nothing_else(staged):
    assert set(files_of(staged)) == {
        *("config.json", "model.safetensors", "preprocessor_config.json", "README.md"),
        *("all_results.json", "data_report.json", "run.yaml"),
        *("configuration_fer_efficientnet.py", "modeling_fer_efficientnet.py"),
        *("image_processing_fer_efficientnet.py", "pipeline_facial_emotion.py"),
        *("face_detection.py", "photo_reading.py", "grad_cam.py", "confusion_matrix.png"),
        *("class_distribution.png", "training_curves.png"),
        *("onnx/model.onnx", "onnx/model_int8.onnx"),
    }


def test_card_names_the_repository_and_has_onnx_parity(staged, run):
    card = ModelCard.load(staged / "README.md")
    assert 'pipeline("image-classification", model="me/faces", revision="v1"' in card.text
    assert str(run) not in card.text
    assert card.data.model_name == "faces" and card.data.pipeline_tag == "image-classification"
    results = json.loads((run / "all_results.json").read_text())
    assert card.data.eval_results[0].metric_value == results["eval_accuracy"]
    rows = [line for line in card.text.splitlines() if "onnx/model" in line and "|" in line]
    assert len(rows) == 2
    difference, accuracy = rows[0].split(" | ")[1:3]
    assert float(difference) < 1e-4 and accuracy == f"{results['eval_accuracy']:.4f}"


def test_onnx_of_the_papers_protocol_is_measured_on_its_test_part(run):
    arguments = yaml.safe_load((run / "run.yaml").read_text())["arguments"]
    flags = {name: value for group in arguments.values() for name, value in group.items()}
    flags |= {"split": "paper", "paper_samples_per_class": 4, "eval_split": "test"}
    name, faces, calibration = onnx_faces(run, flags, None)
    whole = load_fer2013("synthetic", synthetic_images=100)
    decoded = {one: decode_split(whole[one], FerEfficientNetImageProcessor(), one) for one in whole}
    assert name == "test"
    parts = paper_split(decoded, 4, seed=flags["seed"])
    assert torch.equal(faces.images, parts["test"].images)
    assert {*calibration.digests} == {*parts["train"].digests}


def test_onnx_of_a_run_whose_validation_split_was_made_is_measured_on_it(run, tmp_path):
    train = load_fer2013("synthetic", synthetic_images=100)["train"]
    train.to_parquet(tmp_path / "train.parquet")
    arguments = yaml.safe_load((run / "run.yaml").read_text())["arguments"]
    flags = {name: value for group in arguments.values() for name, value in group.items()}
    name, faces, calibration = onnx_faces(run, flags, str(tmp_path))
    decoded = {"train": decode_split(train, FerEfficientNetImageProcessor(), "train")}
    made = with_validation(decoded, flags["validation_share"], seed=flags["seed"])
    assert name == "validation" and torch.equal(faces.images, made["validation"].images)
    assert {*calibration.digests} == {*made["train"].digests}


def test_onnx_is_measured_on_faces_of_the_size_that_the_run_held(run, tmp_path):
    report = tmp_path / "run" / "data_report.json"
    shutil.copytree(run, tmp_path / "run")
    report.write_text(json.dumps(json.loads(report.read_text()) | {"held_images": {"side": 40}}))
    arguments = yaml.safe_load((run / "run.yaml").read_text())["arguments"]
    flags = {name: value for group in arguments.values() for name, value in group.items()}
    assert onnx_faces(tmp_path / "run", flags, None)[1].images.shape[-1] == 40


def test_8_bit_ranges_come_from_training_faces(run):
    arguments = yaml.safe_load((run / "run.yaml").read_text())["arguments"]
    flags = {name: value for group in arguments.values() for name, value in group.items()}
    whole = load_fer2013("synthetic", synthetic_images=100)
    name, faces, calibration = onnx_faces(run, flags, None)
    train = decode_split(whole["train"], FerEfficientNetImageProcessor(), "train")
    assert name == "validation" and len(faces) == len(whole["validation"])
    assert {*calibration.digests} == {*train.digests}


def test_without_training_faces_those_that_set_the_ranges_are_not_measured(run, tmp_path):
    load_fer2013("synthetic", synthetic_images=100)["validation"].to_parquet(
        tmp_path / "validation.parquet"
    )
    arguments = yaml.safe_load((run / "run.yaml").read_text())["arguments"]
    flags = {name: value for group in arguments.values() for name, value in group.items()}
    _, faces, calibration = onnx_faces(run, flags, str(tmp_path))
    assert len(calibration) == (len(faces) + len(calibration)) // 2 > 0
    assert not {*calibration.digests} & {*faces.digests}


@pytest.mark.parametrize("accuracy, published", [(0.695, True), (0.694, False)])
def test_8_bits_that_cost_more_than_half_a_point_are_not_published(tmp_path, accuracy, published):
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "model_int8.onnx").touch()
    rows, said = [{"accuracy": 0.7}, {"accuracy": 0.7}, {"accuracy": accuracy}], []
    parity = without_poor_int8(tmp_path, {"rows": rows, "split": "test"}, said.append)
    assert len(parity["rows"]) == 2 + published
    assert (tmp_path / "onnx" / "model_int8.onnx").exists() == published
    assert said == [] if published else "its accuracy is 0.6940, more than 0.005" in said[0]


def test_of_absolute_paths_the_names_stay_with_spaces_or_without():
    record = {
        "command": "python train.py --dataset '/home/Jane Doe/my data/faces.csv' --seed 3",
        "started_from": {
            "taught_by": [{"dataset": "/home/Jane Doe/my data/faces.csv"}, "me/faces"]
        },
    }
    assert _without_folders(record) == {
        "command": "python train.py --dataset faces.csv --seed 3",
        "started_from": {"taught_by": [{"dataset": "faces.csv"}, "me/faces"]},
    }


def test_no_file_names_a_folder_of_this_machine(staged, run):
    for name, content in files_of(staged).items():
        assert str(run.parent).encode() not in content and str(ROOT).encode() not in content, name


def test_onnx_takes_any_number_of_faces(staged):
    for name in ("model.onnx", "model_int8.onnx"):
        session = onnxruntime.InferenceSession(str(staged / "onnx" / name))
        for number in (1, 5):
            faces = np.zeros((number, 1, 32, 32), np.float32)
            assert session.run(["logits"], {"pixel_values": faces})[0].shape == (number, 7)


def test_onnx_snippet_of_the_card_gives_the_models_logits_and_labels(
    staged, run, tmp_path, monkeypatch, capsys
):
    card = ModelCard.load(staged / "README.md").text
    code = card.split("## ONNX")[1].split("```python\n")[1].split("```")[0]
    asked = []
    monkeypatch.setattr(
        "huggingface_hub.hf_hub_download",
        lambda *args, **options: asked.append((*args, options)) or str(staged / args[1]),
    )
    monkeypatch.chdir(tmp_path)
    face = Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 40, 3), np.uint8))
    face.save("face.png")
    found = {}
    exec(code, found)
    assert asked == [("me/faces", "onnx/model.onnx", {"revision": "v1"})]
    label, shares = capsys.readouterr().out.split(" ", 1)
    shares = ast.literal_eval(shares)
    assert [*shares] == list(LABELS) and shares[label] == max(shares.values())
    assert sum(shares.values()) == pytest.approx(1, abs=0.01)
    network = FerEfficientNetForImageClassification.from_pretrained(run).eval()
    pixel_values = FerEfficientNetImageProcessor.from_pretrained(run)(face)["pixel_values"]
    with torch.no_grad():
        expected = network(pixel_values).logits.numpy()
    difference = np.abs(found["logits"] - expected).max()
    assert difference < 0.02 * np.ptp(expected), difference  # Pillow rounds to whole grey levels


def test_model_goes_up_and_comes_back(at_hub, hub, run, staged, tmp_path):
    done = at_hub("push_to_hub.py", *MODEL, str(run), "--tag", "v1")
    assert done.returncode == 0, done.stderr
    assert f"Published as {hub.repositories['models/me/faces'].tags['v1'][:8]}" in done.stdout
    face = tmp_path / "face.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 48), np.uint8)).save(face)
    expected = predict_in_clean_process(run, face.read_bytes())
    script = tmp_path / "back.py"
    script.write_text(BACK)
    for more in ({}, {"HF_HUB_OFFLINE": "1"}):  # then from the cache
        back = at_hub(str(script), "me/faces", str(face), "", **more)
        assert back.returncode == 0, back.stderr
        snapshot, scores = json.loads(back.stdout.splitlines()[-1])
        for entry in scores:
            assert entry["score"] == pytest.approx(expected[entry["label"]], abs=1e-5)
    downloaded = files_of(Path(snapshot))
    assert downloaded.pop(".gitattributes") and downloaded == files_of(staged)


def test_data_entry_goes_up_private_and_comes_back(at_hub, hub, tmp_path):
    faces = tmp_path / "faces"
    faces.mkdir()
    for name, split in load_fer2013("synthetic", synthetic_images=260).items():
        split.to_parquet(faces / f"{name}.parquet")
    source = ["dataset", str(faces), "--repo_id", "me/fer2013"]
    push_to_hub.main([*source, "--dry_run", str(tmp_path / "dry")])
    assert not hub.requests
    done = at_hub("push_to_hub.py", *source)
    assert done.returncode == 0, done.stderr
    repository = hub.repositories["datasets/me/fer2013"]
    sent = {name: content for name, content in repository.tree.items() if name[0] != "."}
    assert sent == files_of(tmp_path / "dry")
    assert repository.private and set(repository.tree) == {
        *(".gitattributes", "README.md", "data_report.json"),
        *("data/train.parquet", "data/validation.parquet", "data/test.parquet"),
    }
    for name, content in repository.tree.items():
        (tmp_path / "entry" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "entry" / name).write_bytes(content)
    card = DatasetCard.load(tmp_path / "entry" / "README.md")
    assert "copies of training images" in card.text
    entry = datasets.load_dataset(
        "parquet",
        data_files=str(tmp_path / "entry" / "data" / "validation.parquet"),
        split="train",
        cache_dir=str(tmp_path / "cache"),
    )
    assert isinstance(entry.features["image"], datasets.Image)
    assert entry.features["label"].names == list(LABELS)
    assert sum(entry["copy_of_training"][:]) == 52 // 13
    assert all(group >= 0 for group, copy in zip(entry["group"], entry["copy_of_training"]) if copy)
    script = tmp_path / "back.py"
    script.write_text(SAME_ROWS)
    cache = {"HF_DATASETS_CACHE": str(tmp_path / "cache")}
    back = at_hub(str(script), str(faces), PYTHONPATH=str(ROOT), **cache)
    assert back.returncode == 0, back.stderr


def test_a_data_entry_of_other_classes_is_named_and_has_no_word_of_fer2013(at_hub, tmp_path):
    faces = draw_faces(np.array([0, 1, 1]), ["neutral", "sad"], seed=0)
    for name, face in zip(("<b>|calm/a.png", "sad/b.png", "sad/c.png"), faces):
        (tmp_path / "faces" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "faces" / name).write_bytes(encode_png(face))
    entry = ["dataset", str(tmp_path / "faces"), "--repo_id", "me/moods", "--classes", "any"]
    refused = at_hub("push_to_hub.py", *entry)
    assert refused.returncode == 2 and "--classes any needs --dataset_name" in refused.stderr
    look = tmp_path / "look"
    done = at_hub("push_to_hub.py", *entry, "--dataset_name", "Moods", "--dry_run", str(look))
    assert done.returncode == 0, done.stderr
    stored = datasets.Dataset.from_parquet(
        str(look / "data" / "train.parquet"), cache_dir=str(tmp_path)
    )
    assert stored.features["label"].names == ["<b>|calm", "sad"] and stored["label"][:] == [0, 1, 1]
    card = (look / "README.md").read_text()
    assert "# Moods with its flaws marked" in card and "FER" not in card and "fer2013" not in card
    assert r"| `label` | 0 \<b>\|calm, 1 sad |" in card and r"| split | \<b>\|calm | sad |" in card


def test_space_is_pinned_to_the_models_commit(at_hub, hub, run, tmp_path):
    at_hub("push_to_hub.py", *MODEL, str(run), "--no_onnx")
    (tmp_path / "space").mkdir()
    (tmp_path / "space" / "app.py").touch()
    (tmp_path / "space" / "requirements.txt").write_text("gradio\ntorch==2.15.0\n")
    (tmp_path / "space" / "README.md").write_text(
        "---\nsdk: gradio\nmodels:\n  - USER/MODEL\n---\nUSER/NAME at USER-NAME.hf.space\n"
    )
    for name in (".env", "Dockerfile"):
        (tmp_path / "space" / name).touch()
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "video.py").write_text("FRAMES = 1")
    (tmp_path / "space" / "prediction").symlink_to("../shared")
    space = ["space", str(tmp_path / "space"), "--repo_id", "me/demo"]
    done = at_hub("push_to_hub.py", *space, "--model_id", "me/faces")
    assert done.returncode == 0, done.stderr
    repository = hub.repositories["spaces/me/demo"]
    assert len(repository.commits) == 2 and not {".env", "Dockerfile"} & set(repository.tree)
    assert repository.tree["prediction/video.py"] == b"FRAMES = 1"  # not a link
    assert repository.tree["app.py"] == b"" and "pins no version of: gradio\n" in done.stdout
    readme = b"---\nsdk: gradio\nmodels:\n  - me/faces\n---\nme/demo at me-demo.hf.space\n"
    assert repository.tree["README.md"] == readme
    commit = hub.repositories["models/me/faces"].branches["main"]
    assert repository.variables == {"MODEL_ID": "me/faces", "MODEL_REVISION": commit}
    assert f"{hub.url}/spaces/me/demo" in done.stdout


def damaged(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    return tmp_path / "run"


def edit(name, old, new):
    def change(run):
        text = (run / name).read_text()
        assert old in text
        (run / name).write_text(text.replace(old, new, 1))

    return change


def remove(name):
    return lambda run: (run / name).unlink()


def not_a_number(run):
    weights = load_file(run / "model.safetensors")
    name = next(name for name in weights if name.endswith("weight"))
    weights[name][:] = float("nan")
    save_file(weights, run / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize(
    "harm, words",
    [
        (remove("model.safetensors"), "model.safetensors missing"),
        (lambda run: os.truncate(run / "model.safetensors", 1000), "is not whole"),
        (lambda run: (run / "pytorch_model.bin").touch(), "pytorch_model.bin may run code"),
        (edit("run.yaml", "seed:", f"token: hf_{'a' * 34}\nseed:"), "run.yaml holds a token"),
        (edit("all_results.json", '"eval_accuracy": ', '"eval_accuracy": 1'), "not of this run"),
        (edit("README.md", "face.png", "my.png"), "not edited by hand"),
        (edit("README.md", "| accuracy | 0", "| accuracy | 1"), "expected the figures of all_res"),
        (edit("README.md", "license: apache-2.0", "license: ''"), "has no license in its metadata"),
        (edit("run.yaml", "dataset: synthetic", "dataset: faces"), "is not known. Name the data"),
        (edit("README.md", "faces drawn by code", "faces"), "says results on synthetic faces, but"),
        (edit("README.md", "metrics:", "metrics: ["), "its metadata cannot be read"),
        (
            lambda run: (run / "notes.txt").write_text(f"export HF_TOKEN=hf_{'a' * 34}"),
            "notes.txt holds a token",
        ),
        (not_a_number, "probabilities that differ"),
    ],
)
def test_a_run_that_is_not_fit_is_refused(run, tmp_path, harm, words):
    folder = damaged(run, tmp_path)
    harm(folder)
    with pytest.raises(PublishError, match=words):
        push_to_hub.main(MODEL + [str(folder), "--no_onnx", "--dry_run", str(tmp_path / "dry")])
    assert not (tmp_path / "dry").exists()


@pytest.fixture
def tested(run, tmp_path):
    """A copy of the run with results on the test split, which its card quotes."""
    folder = damaged(run, tmp_path)
    results = json.loads((run / "all_results.json").read_text())
    results |= {"eval_split": "test", "eval_accuracy": 0.123456, "eval_recall_happy": 0.0625}
    results["weights_sha256"] = weights_sha256(run / "model.safetensors")
    (folder / "test_results.json").write_text(json.dumps(results))
    write_model_card(folder)
    return folder


def test_results_on_the_test_split_go_along_and_come_first(tested, tmp_path):
    arguments = ["--no_onnx", "--tag", "v/1", "--dry_run", str(tmp_path / "dry")]
    push_to_hub.main(MODEL + [str(tested), *arguments])
    sent = tmp_path / "dry" / "test_results.json"
    assert sent.read_text() == (tested / "test_results.json").read_text()
    test, *_, validation = ModelCard.load(tmp_path / "dry" / "README.md").data.eval_results
    assert (test.dataset_split, test.metric_value) == ("test", 0.123456)
    place = "https://huggingface.co/me/faces/blob/v%2F1"
    assert test.source_url == f"{place}/test_results.json"
    assert validation.source_url == f"{place}/all_results.json"


def test_test_results_that_the_card_does_not_quote_yet_are_refused(run, tested, tmp_path):
    shutil.copyfile(run / "README.md", tested / "README.md")
    with pytest.raises(PublishError, match="expected the figures of test_results.json"):
        push_to_hub.main(MODEL + [str(tested), "--no_onnx", "--dry_run", str(tmp_path / "dry")])


def test_test_results_of_another_model_stay_behind(run, tested, tmp_path, capsys):
    edit("test_results.json", '"weights_sha256": "', '"weights_sha256": "0')(tested)
    shutil.copyfile(run / "README.md", tested / "README.md")
    push_to_hub.main(MODEL + [str(tested), "--no_onnx", "--dry_run", str(tmp_path / "dry")])
    assert not (tmp_path / "dry" / "test_results.json").exists()
    assert "test_results.json is left out: it does not name these" in capsys.readouterr().out


@pytest.fixture
def robust(run, tmp_path):
    """A copy of the run with robustness.json, which its card quotes."""
    folder = damaged(run, tmp_path)
    one = {"title": "plain", "accuracy": 0.125, "balanced_accuracy": 0.25}
    found = {"split": "validation", "images": 20, "of": 20, "mean": one, "shifts": {"plain": one}}
    found["shifts"] |= {f"shift_{i}": one | {"title": f"shift {i}"} for i in range(4)}
    found["weights_sha256"] = weights_sha256(run / "model.safetensors")
    (folder / "robustness.json").write_text(json.dumps(found))
    write_model_card(folder)
    return folder


def test_robustness_goes_along_and_stays_on_the_card(robust, tmp_path):
    push_to_hub.main(MODEL + [str(robust), "--no_onnx", "--dry_run", str(tmp_path / "dry")])
    sent = tmp_path / "dry" / "robustness.json"
    assert sent.read_text() == (robust / "robustness.json").read_text()
    assert "accuracy is 0.125 on average" in (tmp_path / "dry" / "README.md").read_text()


@pytest.mark.parametrize(
    "quoted, harm, words",
    [
        (
            "tested",
            edit("test_results.json", "0.123456", "0.2"),
            "but test_results.json says 0.2: t",
        ),
        ("tested", edit("test_results.json", "0.0625", "0.2"), "the figures of test_results.json"),
        ("tested", edit("test_results.json", '"test"', '"train"'), "test_results.json says None"),
        ("tested", remove("test_results.json"), "but test_results.json says None"),
        ("robust", edit("robustness.json", "0.125", "0.2"), "not there:\nUnder 4 shifts"),
        ("robust", edit("robustness.json", 'sha256": "', 'sha256": "0'), "quotes robustness.json"),
        ("robust", remove("robustness.json"), "quotes robustness.json, which is not"),
    ],
)
def test_a_card_that_quotes_other_results_is_refused(request, tmp_path, quoted, harm, words):
    run = request.getfixturevalue(quoted)
    harm(run)
    with pytest.raises(PublishError, match=words) as refused:
        push_to_hub.main(MODEL + [str(run), "--no_onnx", "--dry_run", str(tmp_path / "dry")])
    assert f"python -m training.report.card {run}" in str(refused.value)


def test_a_card_of_before_its_results_had_a_source_is_still_published(run, tmp_path):
    folder = damaged(run, tmp_path)
    lines = (folder / "README.md").read_text().splitlines(keepends=True)
    source = [i for i, line in enumerate(lines) if line == "    source:\n"]
    del lines[source[0] : source[0] + 3]
    (folder / "README.md").write_text("".join(lines))
    assert "source" not in str(ModelCard.load(folder / "README.md").data)
    push_to_hub.main(MODEL + [str(folder), "--no_onnx", "--dry_run", str(tmp_path / "dry")])


MODEL_FILES = {"model.safetensors", "config.json", "preprocessor_config.json"}


@pytest.fixture
def made(monkeypatch):
    """Counts the times that ONNX files are made, and makes none."""
    calls = []

    def make_onnx(run, folder, flags, dataset):
        calls.append(dataset)
        (folder / "onnx").mkdir()
        for name in onnx_kept.NAMES:
            (folder / "onnx" / name).write_bytes(f"{name} {len(calls)}".encode())
        row = {"name": "PyTorch", "difference": 0.0, "accuracy": 0.5, "recalls": {}}
        return {"counts": [], "rows": [row]}

    monkeypatch.setattr("publishing.onnx_export.make_onnx", make_onnx)
    return calls


@pytest.fixture
def again(run, made, tmp_path):
    """Stages a copy of the run's ONNX files; returns the sentence, and what was staged."""
    folder = tmp_path / "run"
    folder.mkdir()
    for name in (*MODEL_FILES, "all_results.json"):
        shutil.copyfile(run / name, folder / name)
    said, number = [], iter(range(100))

    def stage(fingerprint="of the run's data", dataset=None):
        staged = tmp_path / f"staged{next(number)}"
        staged.mkdir()
        onnx_kept.onnx_with_parity(folder, staged, {}, fingerprint, dataset, said.append)
        return said[-1], files_of(staged / "onnx")

    return stage


def test_onnx_files_are_kept_beside_the_run(again, made, tmp_path):
    words, files = again()
    assert words == f"ONNX files and parity: made and kept in {tmp_path / 'run' / 'onnx'}."
    assert set(files) == set(onnx_kept.NAMES)
    words, same = again()
    assert same == files and made == [None]
    assert f"reused from {tmp_path / 'run' / 'onnx'};" in words


@pytest.mark.parametrize("name", sorted(MODEL_FILES))
def test_onnx_files_of_another_model_are_made_again(again, made, tmp_path, name):
    again()
    with (tmp_path / "run" / name).open("ab") as file:
        file.write(b" ")
    words, files = again()
    assert "made again (model changed) and kept" in words and len(made) == 2
    assert files["model.onnx"] == b"model.onnx 2"
    assert "reused" in again()[0]


def test_onnx_files_of_other_versions_are_made_again(again, made, monkeypatch):
    again()
    monkeypatch.setattr(onnx_kept, "_version", lambda package: "0.1")
    assert f"made again ({', '.join(onnx_kept.PACKAGES)} changed)" in again()[0]


def test_onnx_files_of_other_data_are_made_again(again, made, tmp_path):
    again()
    assert "(data changed)" in again(fingerprint="other")[0]
    source = tmp_path / "faces.csv"
    source.write_text("one")
    given = {"fingerprint": "other", "dataset": str(source)}
    assert "(faces changed)" in again(**given)[0]
    assert "reused" in again(**given)[0]
    assert "reused" in again(fingerprint="other")[0]  # no data named: any will do
    source.write_text("longer")
    assert "(faces changed)" in again(**given)[0]
    (tmp_path / "faces").mkdir()
    assert "(faces changed)" in again("other", str(tmp_path / "faces"))[0]
    assert made == [None, None, str(source), str(source), str(tmp_path / "faces")]


@pytest.mark.parametrize("name", [*onnx_kept.NAMES, onnx_kept.RECORD])
def test_kept_onnx_files_that_are_not_whole_are_made_again(again, made, tmp_path, name):
    again()
    os.truncate(tmp_path / "run" / "onnx" / name, 5)
    assert "parity: made and kept" in again()[0] and len(made) == 2


def test_where_onnx_files_cannot_be_kept_it_says_so_and_goes_on(again, made, tmp_path):
    (tmp_path / "run" / "onnx").touch()
    words, files = again()
    assert "made, but not kept beside the run (" in words and set(files) == {*onnx_kept.NAMES}


def test_kept_parity_that_is_not_the_reports_is_refused(again, made, tmp_path):
    again()
    report, record = (tmp_path / "run" / name for name in ("all_results.json", "onnx/parity.json"))
    kept = json.loads(record.read_text())
    results = json.loads(report.read_text())
    kept["parity"]["counts"] = np.sum(results["eval_confusion_matrix"], axis=1).tolist()
    kept["parity"]["rows"][0]["accuracy"] = results["eval_accuracy"] + 0.01
    record.write_text(json.dumps(kept))
    with pytest.raises(PublishError, match="Are weights and report of the same run"):
        again()


@pytest.mark.parametrize("faces", [7, 64, 150])
def test_8_bit_ranges_come_from_all_faces_given(staged, tmp_path, faces):
    """However many: onnxruntime itself takes whole batches only."""

    def activation_scales(pixel_values) -> np.ndarray:
        quantize(staged / "onnx" / "model.onnx", tmp_path / "small.onnx", pixel_values)
        found = onnx.load(tmp_path / "small.onnx").graph.initializer
        scales = [onnx.numpy_helper.to_array(one) for one in found if one.name.endswith("_scale")]
        return np.array([scale for scale in scales if scale.ndim == 0])

    pixel_values = np.zeros((faces, 1, 32, 32), np.float32)
    plain = activation_scales(pixel_values)
    pixel_values[-1] = np.random.default_rng(0).normal(0, 9, (1, 32, 32))  # the widest ranges
    assert (activation_scales(pixel_values) > 1.5 * plain).mean() > 0.5


def test_what_8_bits_would_cost_most_stays_in_float(staged):
    graph = onnx.load(staged / "onnx" / "model_int8.onnx").graph
    made_by = {name: node.op_type for node in graph.node for name in node.output}
    layers = [node for node in graph.node if node.op_type in ("Conv", "Gemm", "MatMul")]
    small = [made_by.get(node.input[1]) == "DequantizeLinear" for node in layers]
    assert small == [False, False, *[True] * (len(layers) - 3), False]


OLD = [
    (["run", "--repo_id", "me/x"], ["model", "run", "--repo_id", "me/x"]),
    (
        ["--repo_id", "me/x", "--tag", "v1", "--no_onnx", "run"],
        ["model", "run", "--repo_id", "me/x", "--tag", "v1", "--no_onnx"],
    ),
    (["model", "--repo_id", "me/x"], ["model", "model", "--repo_id", "me/x"]),
    (
        ["--dataset", "x.csv", "--dataset_repo_id", "me/x", "--label_names", "a", "b", "--public"]
        + ["--right_to_publish", "my own"],
        ["dataset", "x.csv", "--repo_id", "me/x", "--public", "--right_to_publish", "my own"]
        + ["--label_names", "a", "b"],
    ),
    (
        ["--space", "my_space", "--space_repo_id", "me/x", "--repo_id", "me/y", "--private"],
        ["space", "my_space", "--repo_id", "me/x", "--model_id", "me/y", "--private"],
    ),
]


@pytest.mark.parametrize("old, new", OLD)
def test_old_spellings_mean_what_they_meant_and_say_the_new_one(capsys, old, new):
    found = vars(push_to_hub.parse(old))
    words = capsys.readouterr().out.splitlines()
    expected = vars(push_to_hub.parse(new))
    assert capsys.readouterr().out == ""
    for args in (found, expected):
        del args["parser"]
    assert found == expected and len(words) == 1
    command = shlex.split(words[0].partition("now spelled: ")[2])
    assert command[0] == "push_to_hub.py" and sorted(command[1:]) == sorted(new)


def test_a_space_is_the_folder_space_unless_said_otherwise():
    ids = ["--repo_id", "me/x", "--model_id", "me/y"]
    assert push_to_hub.parse(["space", *ids]).source == Path("space")
    assert push_to_hub.parse(["space", "my_space", *ids]).source == Path("my_space")


@pytest.mark.parametrize("kind", push_to_hub.KINDS)
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
    "argv, words",
    [
        ([], "say what to publish: model RUN_DIR, dataset SOURCE or space"),
        (["--repo_id", "me/x"], "say what to publish: model RUN_DIR, dataset SOURCE or space"),
        (["model", "run"], "the following arguments are required: --repo_id"),
        (["run"], "the following arguments are required: --repo_id"),
        (["model", "run", "--repo_id", "name"], "must be USER/NAME"),
        (["model", "run", "--repo_id", "a/b/c"], "--repo_id: "),
        (["space", "--repo_id", "me/x", "--model_id", "name"], "--model_id must be USER/NAME"),
        (["dataset", "synthetic", "--repo_id", "me/x", "--public"], "needs --right_to_publish"),
        (["space", "--repo_id", "me/x"], "the following arguments are required: --model_id"),
        (["space", "x", "--space_repo_id", "me/x"], "required: --repo_id, --model_id"),
        (["model", "run", "--repo_id", "me/x", "--public"], "unrecognized arguments: --public"),
        (["run", "--repo_id", "me/x", "--public"], "unrecognized arguments: --public"),
        (["dataset", "x", "--repo_id", "me/x", "--private"], "unrecognized arguments: --private"),
        (["dataset", "x", "--repo_id", "me/x", "--no_onnx"], "unrecognized arguments: --no_onnx"),
        (["--dataset", "x", "--dataset_repo_id", "me/x", "--repo_id", "me/y"], "--repo_id has no"),
        (["--dataset", "x", "--space", "y", "--repo_id", "me/y"], "say what to publish"),
        (["model", "run", "--repo_id", "me/x", "--create_pr", "--tag", "v1"], "without --tag"),
        (
            ["model", "run", "--repo_id", "me/x", "--create_pr", "--parent_commit", "a"],
            "--parent_commit",
        ),
        (["model", "run", "--repo_id", "me/x", "--token", TOKEN], "--token (token)"),
        (["run", "--repo_id", "me/x", f"--token={TOKEN}"], "--token=(token)"),
        (["run", "--repo_id", TOKEN], "must be USER/NAME, but it is '(token)'"),
    ],
)
def test_wrong_commands_say_what_is_missing(capsys, argv, words):
    with pytest.raises(SystemExit):
        push_to_hub.main(argv)
    said = capsys.readouterr()
    assert words in said.err and TOKEN not in said.out + said.err


def test_a_packed_file_is_no_data_entry(tmp_path):
    packed.main(
        ["--dataset", "synthetic", "--synthetic_images", "70"]
        + ["--out", str(tmp_path / "faces.safetensors")]
    )
    with pytest.raises(PublishError, match="but found a packed file, which holds them decoded"):
        push_to_hub.main(
            ["dataset", str(tmp_path / "faces.safetensors"), "--repo_id", "me/x"]
            + ["--dry_run", str(tmp_path / "dry")]
        )
    assert not (tmp_path / "dry").exists()


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
