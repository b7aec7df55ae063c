"""A saved network for other classes than its own."""

import logging

import pytest
import torch

from modeling import FerEfficientNetForImageClassification
from tests.networks import saved, tiny_network
from training.network import ModelArguments, _set_classes, build_network, load_saved_model

BEFORE = ("angry", "calm", "happy")


def make(**config):
    return tiny_network(BEFORE, head_hidden_sizes=[8], **config)


@pytest.fixture
def before(tmp_path):
    """The folder of a saved network, calibrated."""
    network = make()
    network.config.update_calibration(temperature=1.5, train_distribution=[0.2, 0.3, 0.5])
    return str(saved(network, tmp_path / "saved"))


def logits(network):
    images = torch.rand(4, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return network(images).logits


@pytest.mark.parametrize("cosine_scale", [None, 8.0])
def test_classes_of_the_same_name_keep_their_weights_in_any_order(cosine_scale):
    network = make(cosine_scale=cosine_scale)
    before = logits(network)
    said = _set_classes(network, ["happy", "angry", "calm"])
    torch.testing.assert_close(logits(network), before[:, [2, 0, 1]])
    assert network.config.id2label == {0: "happy", 1: "angry", 2: "calm"}
    assert network.config.label2id == {"happy": 0, "angry": 1, "calm": 2}
    assert said == (
        "a new last layer, since its classes are angry, calm, happy and those of the data happy, "
        "angry, calm; weights are kept for happy, angry, calm."
    )


@pytest.mark.parametrize(
    "names, kept",
    [
        (["tense", "calm"], "calm"),
        (["a", "b", "c", "d", "happy"], "happy"),
        (["a", "b"], "none of them"),
    ],
)
def test_more_or_fewer_classes_get_new_rows(names, kept):
    network = make()
    before = {name: value.clone() for name, value in network.head[-1].named_parameters()}
    body = {name: value.clone() for name, value in network.backbone.state_dict().items()}
    said = _set_classes(network, names)
    assert said.endswith(f"; weights are kept for {kept}.")
    last = network.head[-1]
    assert last.out_features == network.config.num_labels == network.num_labels == len(names)
    for name, values in last.named_parameters():
        assert values.requires_grad
        for label, row in zip(names, values):
            same = before[name][BEFORE.index(label)] if label in BEFORE else before[name].mean(0)
            torch.testing.assert_close(row, same)
    assert all(
        torch.equal(value, body[key]) for key, value in network.backbone.state_dict().items()
    )
    assert logits(network).shape == (4, len(names))


def test_a_changed_network_is_saved_and_loaded_with_its_classes(tmp_path):
    network = make()
    _set_classes(network, ["tense", "half asleep", "schläfrig", "angry"])
    network.save_pretrained(tmp_path / "changed")
    again = FerEfficientNetForImageClassification.from_pretrained(tmp_path / "changed").eval()
    torch.testing.assert_close(logits(again), logits(network))
    assert again.config.id2label[2] == "schläfrig" and again.config.num_labels == 4


def test_training_changes_the_classes_says_so_and_forgets_the_calibration(before, caplog):
    caplog.set_level(logging.INFO, "training")
    arguments, names = ModelArguments(model_name_or_path=before), ("happy", "tense")
    network, _ = build_network(arguments, names)
    assert tuple(network.config.id2label.values()) == names
    config = network.config
    assert config.calibration is None
    build_network(arguments, BEFORE)  # nothing to say of the same classes
    (message,) = caplog.messages
    assert message.startswith(f"{before}: a new last layer, since its classes are angry, calm, hap")


def test_an_evaluation_refuses_other_classes_or_another_order(before):
    arguments = ModelArguments(model_name_or_path=before)
    for names in (("angry", "calm"), ("calm", "angry", "happy")):
        expected = (
            f"its classes are angry, calm, happy; expected .*{', '.join(names)}, in this order"
            r"\. --label_names with the model's classes gives "
        )
        with pytest.raises(SystemExit, match=expected):
            build_network(arguments, names, training=False)
    assert load_saved_model(before, BEFORE)[0].config.num_labels == 3


def test_a_mean_of_networks_that_learned_other_shares_expects_the_training_sets(before, tmp_path):
    treated = make()
    shares = {"train_distribution": [0.2, 0.3, 0.5], "learned_distribution": [1.0, 1.0, 1.0]}
    treated.config.update_calibration(temperature=2.0, **shares)
    folder = str(saved(treated, tmp_path / "treated"))
    flags = {"model_name_or_path": before, "average_with": [folder], "average_weight": 1.0}
    network, _ = build_network(ModelArguments(**flags), BEFORE)
    treated.config.prior = "train"
    torch.testing.assert_close(logits(network.eval()) / 2.0, logits(treated.eval()))
