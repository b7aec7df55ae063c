"""training/card/facts.py: what follows from the files of a run."""

import numpy as np
import pytest

from training.card.card import card_text
from training.card.quoted_results import TEST
from training.data import LABELS
from training.record.lineage import short


def test_values_without_meaning_are_none(on_other_data):
    right = [[0, 1, 0], [0, 1, 0], [0, 0, 1]]
    card = on_other_data(["calm", "tense", "asleep"], [1, 1, 2], right)
    absent, *others = card.splits[0].classes
    assert absent[:3] == ("calm", 100, 0) and absent[3:] == (None,) * 4
    assert [row[4:] for row in others] == [(1, 1, 1), (1, 1, 1)]
    never, always = on_other_data(["calm", "tense"], [0, 1], [[0, 1], [0, 1]]).splits[0].classes
    assert (never.mean_score, never.precision, never.recall, never.f1) == (None, None, 0, 0)
    assert always.precision == 0.5 and always.recall == 1


def test_evaluated_images_are_the_rows_of_the_confusion_matrix(change):
    matrix = [[c * (row + 1) for c in range(7)] for row in range(7)]
    card = change(test={"eval_confusion_matrix": matrix})
    assert [row.images for row in card.splits[0].classes] == [21 * row for row in range(1, 8)]
    assert card.splits[1].classes[0].images == 467


def test_repeated_images_are_counted_once(change, shipped):
    more = dict.fromkeys(LABELS, 7215)
    card = change(audit=shipped.audit | {"train_counts_after_sampling": more})
    assert [row.training_images for row in card.splits[0].classes][1] == 414
    assert card.rarest == "disgust"


def test_priors_are_those_that_the_results_have(change, shipped):
    assert [prior.prior for prior in shipped.splits[0].priors] == ["train", "uniform"]
    treated = {"eval_train_prior_accuracy": 0.7, "eval_train_prior_balanced_accuracy": 0.6}
    card = change(test=treated | {"eval_train_prior_recall_disgust": 0.5})
    learned, train, uniform = card.splits[0].priors
    assert (learned.prior, train.prior, uniform.prior) == ("learned", "train", "uniform")
    assert learned.accuracy == card.splits[0].results["eval_accuracy"]
    assert (train.accuracy, train.recall) == (0.7, 0.5)
    assert uniform.recall == card.splits[0].results["eval_uniform_prior_recall_disgust"]
    assert [prior.prior for prior in card.splits[1].priors] == ["train", "uniform"]


def test_confusions_are_the_largest_shares_of_a_class(shipped, on_other_data):
    first, *_ = shipped.confusions
    matrix = np.array(shipped.splits[0].results["eval_confusion_matrix"])
    shares = (matrix - np.diag(np.diag(matrix))) / matrix.sum(axis=1, keepdims=True)
    label, predicted = np.unravel_index(shares.argmax(), shares.shape)
    assert (first.label, first.predicted) == (LABELS[label], LABELS[predicted])
    assert first.share == shares.max() and len(shipped.confusions) == 4
    assert on_other_data(["calm", "tense"], [0, 1], [[1, 0], [0, 1]]).confusions == []


def test_treatments_are_titles_and_options_the_chosen_losss_own(shipped, change):
    assert shipped.treatments == [] and shipped.loss_options == {"ferplus_weight": "0.1"}
    card = change(flags={"sampling": "weighted"})
    assert card.treatments == ["weighted sampling"]
    treatment = {"sampling": "none", "undersample": None, "loss": "/my/loss.py:Mine"}
    treatment |= {"my_margins": [0.5, 1], "my_scale": None}
    arguments = shipped.run["arguments"] | {"treatment": treatment}
    card = change(run=shipped.run | {"arguments": arguments, "loss_title": "my loss"})
    card = change(card, flags={"teachers": ["x"], "mixup": 0.2, "sampling": "oversample"})
    assert card.treatments == ["oversampling", "my loss"] and card.loss == "loss.py:Mine"
    assert card.loss_options == {
        "my_margins": "0.5 1",
        **{"ferplus_weight": "0.1", "distillation_weight": "0.5", "mixup": "0.2"},
    }


def test_what_was_chosen_on_which_split(shipped, change):
    assert (shipped.chosen, shipped.chosen_on) == (["epochs", "stages", "soup"], "validation")
    *_, (name, last) = shipped.chain.items()
    without = {key: value for key, value in last.items() if key != "averaged_with"}
    unmixed = {
        stage: {key: value for key, value in about.items() if key != "averaged_with"}
        for stage, about in shipped.chain.items()
    }
    assert change(chain=unmixed).chosen == ["epochs", "stages"]
    assert change(chain={name: last}).chosen == ["soup"]
    assert change(chain={name: without}).chosen == []
    best = {"load_best_model_at_end": True}
    assert change(chain={name: without}, flags=best).chosen == ["epochs"]
    assert change(flags={"development_share": 0.1}).chosen_on == "development"


def test_earlier_stages_on_other_data_chose_nothing_on_these(shipped, change):
    *_, (name, last) = shipped.chain.items()
    other = {"data_fingerprint": "0" * 32}
    in_colour = change(chain=shipped.chain | {name: last | other})
    assert not in_colour.earlier_data_differ and "stages" in in_colour.chosen
    crops = change(chain=shipped.chain | {name: last | other | {"flags": "--dataset crops"}})
    assert crops.earlier_data_differ and crops.chosen == ["soup"]
    # the same images with other labels
    relabelled = change(crops, flags={"label_source": "ferplus"})
    assert relabelled.earlier_data_differ and "stages" in relabelled.chosen


def test_what_started_from_the_model_that_ships_is_reproduced_from_there(shipped, change):
    assert shipped.shipped_stages == 0 and len(shipped.stages) == len(shipped.chain) == 13
    *_, last = shipped.chain
    recipe = "configs/own_data.yaml"
    command = f"python train.py {recipe} --dataset crops --output_dir runs/mine"
    run = shipped.run | {"recipe": recipe, "started_from": last, "command": command}
    run |= {"averaged_with": [], "data_fingerprint": "0" * 32, "stages": shipped.chain}
    flags = {"model_name_or_path": "model", "average_with": [], "dataset": "crops"}
    run = change(change(run=run), flags=flags).run
    chain = shipped.chain | {"own_data": short(run)}
    card = change(run=run, chain=chain)
    (stage,) = card.stages
    assert stage.command == "python train.py configs/own_data.yaml --dataset crops"
    assert (stage.number, stage.started_from, stage.fine_tuned_from) == (1, None, "model")
    assert card.shipped_stages == 13 and card.earlier_treatments == {}
    text = card_text(card)
    assert "model that ships with fer-efficientnet, which was trained on FER-2013." in text
    assert "13 stages on FER-2013, on the card of `model/`" in text and "8_soup" not in text
    more = chain["own_data"] | {
        "started_from": "own_data",
        "flags": "--model_name_or_path runs/own_data",
    }
    del more["fine_tuned"]
    first, second = change(card, chain=chain | {"more": more}).stages
    assert (first.fine_tuned_from, second.started_from, second.fine_tuned_from) == (
        "model",
        1,
        None,
    )


def test_copies_that_were_trained_on_are_those_of_a_quoted_test_split(shipped, change):
    assert shipped.copies_were_trained_on and shipped.splits[0].copies == 314
    audit = shipped.audit | {"dropped_as_copies_of": ["validation", "test"]}
    assert not change(audit=audit).copies_were_trained_on
    alone = {file: results for file, results in shipped.quoted.items() if file != TEST}
    assert not change(quoted=alone).copies_were_trained_on


@pytest.mark.parametrize("temperature, limit", [(0.0501, True), (1.0, False), (19.99, True)])
def test_a_temperature_at_the_end_of_the_range_says_nothing(change, temperature, limit):
    assert change(results={"temperature": temperature}).temperature_is_limit == limit


def test_the_base_model_is_the_pupils_own_and_no_teachers(change):
    stage = {"recipe": None, "flags": "", "data_fingerprint": "a"}
    pupil = {"pretrained": "imagenet", "backbone": "tf_efficientnet_lite2", "taught_by": ["t"]}
    last = stage | {"started_from": "pupil"}
    teacher = stage | {"model_name_or_path": "their/model"}
    chain = {"t": teacher, "pupil": stage | pupil, "last": last}
    assert change(chain=chain).base_model == "timm/tf_efficientnet_lite2.in1k"
    assert change(chain={"t": teacher}).base_model == "their/model"
    for start in ({"model_name_or_path": "start"}, {"pretrained": "lite2.pth"}, {}):
        assert change(chain={"last": stage | start}).base_model is None
