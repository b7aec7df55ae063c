import copy
import inspect
import re
import time

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import load_file, save_file
from timm.utils import ModelEmaV3
from transformers import Trainer, TrainerCallback

from modeling import FerEfficientNetImageProcessor
from tests.forked import run_forked
from tests.networks import tiny_network
from training.arguments import FerTrainingArguments
from training.augmentation import BatchAugmentation
from training.data import FaceDataset
from training.targets import Mixing, Targets
from training.trainer import FerTrainer
from training.treatments import EpochSampler, losses

LDAM_SCALE = 10.0  # the paper's 30 multiplies the rounding of float32 too
COUNTS = torch.tensor([6.0, 2, 4, 8, 4, 4, 4])


def make_data(n=32):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (n, 1, 32, 32), dtype=torch.uint8, generator=generator)
    labels = torch.repeat_interleave(torch.arange(7), COUNTS.long()).repeat(n // 32 + 1)[:n]
    return FaceDataset(images, labels)


def make_trainer(
    output_dir, *, loss="cross_entropy", plain=False, loss_options=None, data=None, **arguments
):
    """plain: no dropout, augmentation or batch statistics, so that gradients compare."""
    model = tiny_network(
        head_hidden_sizes=[16],
        head_dropout=0.0 if plain else 0.2,
        initializer_range=0.02,
        cosine_scale=LDAM_SCALE if loss == "ldam" else None,
    )
    if plain:
        keep_batch_norm_in_eval_mode(model)
    defaults = {
        "num_train_epochs": 1,
        "per_device_train_batch_size": 8,
        "learning_rate": 1e-2,
        "eval_strategy": "no",
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
    }
    data = data or make_data()
    options = {"ldam": {"ldam_scale": LDAM_SCALE}}.get(loss, {}) | (loss_options or {})
    return FerTrainer(
        model=model,
        args=FerTrainingArguments(output_dir=str(output_dir), **(defaults | arguments)),
        train_dataset=data,
        eval_dataset=data,
        processing_class=FerEfficientNetImageProcessor(size=32),
        criterion=losses()[loss](**options).bind(COUNTS),
        augmentation=None if plain else BatchAugmentation(erasing=0.5),
    )


def keep_batch_norm_in_eval_mode(model):
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.eval()
            module.train = lambda mode=True, module=module: module


def weights(model):
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def one_sgd_step(output_dir, loss="cross_entropy", loss_options=None, **arguments):
    trainer = make_trainer(
        output_dir,
        loss=loss,
        plain=True,
        loss_options=loss_options,
        optim="sgd",
        learning_rate=1.0,
        max_grad_norm=0.0,
        lr_scheduler_type="constant",
        **arguments,
    )
    trainer.train()
    return trainer, weights(trainer.model)


@pytest.mark.parametrize("loss", ["weighted_cross_entropy", "ldam"])
def test_gradient_of_32_equals_4_accumulated_batches_of_8(tmp_path, loss):
    _, whole = one_sgd_step(tmp_path, loss, per_device_train_batch_size=32)
    trainer, parts = one_sgd_step(
        tmp_path, loss, per_device_train_batch_size=8, gradient_accumulation_steps=4
    )
    assert trainer.state.global_step == 1
    start = make_trainer(tmp_path, loss=loss, plain=True).model.state_dict()
    assert any(not torch.equal(whole[name], start[name]) for name in start)
    for name in whole:
        torch.testing.assert_close(parts[name], whole[name], rtol=1e-4, atol=1e-5)


def test_gradient_of_32_equals_2_processes_of_16(tmp_path):
    loss = "weighted_cross_entropy"

    def step_together():
        trainer, after = one_sgd_step(tmp_path, loss, per_device_train_batch_size=16)
        assert trainer.args.world_size == 2 and trainer.state.global_step == 1
        if trainer.is_world_process_zero():
            save_file({name: value.contiguous() for name, value in after.items()}, file)
        trainer.accelerator.wait_for_everyone()
        trainer.accelerator.end_training()

    file, output = tmp_path / "weights.safetensors", tmp_path / "output.txt"
    _, whole = one_sgd_step(tmp_path, loss, per_device_train_batch_size=32)
    assert run_forked(step_together, output, number=2) == [0, 0], output.read_text()
    both = load_file(file)
    for name in whole:
        torch.testing.assert_close(both[name], whole[name], rtol=0, atol=1e-5)


def test_training_uses_the_criterion_and_evaluation_plain_cross_entropy(tmp_path):
    trainer = make_trainer(tmp_path, plain=True)
    trainer.criterion = lambda logits, labels: (logits * 0).sum() + 3.0
    batch = make_data()[torch.arange(8)]
    assert trainer.compute_loss(trainer.model.train(), dict(batch)).item() == 3.0
    loss, outputs = trainer.compute_loss(trainer.model.eval(), dict(batch), return_outputs=True)
    torch.testing.assert_close(loss, F.cross_entropy(outputs.logits, batch["labels"]))
    faces = [image.numpy() for image in batch["pixel_values"]]
    direct = trainer.model(**trainer.processing_class(faces, return_tensors="pt"))
    torch.testing.assert_close(outputs.logits, direct.logits)


def test_targets_are_made_from_undamaged_images_and_training_alone_degrades(tmp_path):
    trainer = make_trainer(tmp_path, plain=True)
    taught, shown = [], []
    trainer.targets = lambda batch: taught.append(batch.images) or batch
    trainer.degradation = torch.zeros_like
    trainer.processing_class.normalize_batch = lambda images, side: shown.append(images) or images
    batch = make_data()[torch.arange(8)]
    for training in (True, False):
        model = trainer.model.train(training)
        trainer.compute_loss(model, dict(batch, pixel_values=batch["pixel_values"].float()))
    assert [images.any().item() for images in taught] == [True]
    assert [images.any().item() for images in shown] == [False, True]


def test_the_seed_decides_every_bit_of_the_weights(tmp_path):
    results = []
    for number, seed in enumerate((1, 1, 2)):
        trainer = make_trainer(tmp_path / str(number), seed=seed, ema_decay=0.9, max_steps=2)
        trainer.targets = Targets([Mixing(0.5, 0.5, num_classes=7)])
        trainer.train()
        results.append(weights(trainer.model))
    first, second, other = results
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["head.0.weight"], other["head.0.weight"])


class RawWeights(TrainerCallback):
    def __init__(self):
        self.after_step = []

    def on_step_end(self, args, state, control, model=None, **kwargs):
        self.after_step.append(copy.deepcopy(model))


def test_averaged_weights_are_evaluated_and_left_as_the_model(tmp_path):
    trainer = make_trainer(tmp_path, ema_decay=0.8, eval_strategy="epoch")
    start = copy.deepcopy(trainer.model)
    raw = RawWeights()
    trainer.add_callback(raw)
    trainer.train()
    expected = ModelEmaV3(start, decay=0.8, use_warmup=True)
    for step, model in enumerate(raw.after_step, start=1):
        expected.update(model, step=step)
    averaged, last = trainer.model.state_dict(), raw.after_step[-1].state_dict()
    for name, value in expected.module.state_dict().items():
        torch.testing.assert_close(averaged[name], value)
    assert not torch.equal(averaged["head.0.weight"], last["head.0.weight"])
    during = next(entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry)
    assert trainer.evaluate()["eval_loss"] == pytest.approx(during, abs=1e-5)


def test_the_best_checkpoints_average_is_what_is_left(tmp_path):
    trainer = make_trainer(
        tmp_path,
        num_train_epochs=3,
        ema_decay=0.5,
        learning_rate=0.5,
        eval_strategy="epoch",
        save_strategy="epoch",
        load_best_model_at_end=True,
        metric_for_best_model="loss",
    )
    trainer.train()
    losses = [entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry]
    assert trainer.evaluate()["eval_loss"] == pytest.approx(min(losses), abs=1e-4)


def test_backbone_stays_as_it_is_while_frozen(tmp_path):
    trainer = make_trainer(tmp_path, num_train_epochs=2, freeze_backbone_epochs=1)
    start = weights(trainer.model)
    raw = RawWeights()
    trainer.add_callback(raw)
    trainer.train()
    frozen, thawed = raw.after_step[3].state_dict(), raw.after_step[-1].state_dict()
    backbone = [
        name for name in start if name.startswith("backbone.") and "num_batches" not in name
    ]
    assert all(torch.equal(frozen[name], start[name]) for name in backbone)
    assert not torch.equal(frozen["head.0.weight"], start["head.0.weight"])
    assert not any(torch.equal(thawed[name], start[name]) for name in backbone if "conv" in name)
    assert trainer.model.backbone_frozen is False


def test_rows_come_from_the_epoch_sampler(tmp_path):
    trainer = make_trainer(tmp_path, data_seed=5)
    labels = trainer.train_dataset.labels.numpy()
    for weighted in (False, True):
        trainer.weighted_sampling = weighted
        expected = list(EpochSampler(labels, weighted=weighted, seed=5))
        assert list(trainer._get_train_sampler()) == expected


def test_a_last_batch_of_one_image_is_left_out(tmp_path):
    trainer = make_trainer(tmp_path, data=make_data(33), num_train_epochs=2)
    trainer.train()  # batch normalisation has no statistics of one value
    assert trainer.state.global_step == 8


def test_deferred_reweighting_follows_the_epochs(tmp_path):
    seen = []
    trainer = make_trainer(
        tmp_path, loss="ldam", num_train_epochs=3, loss_options={"deferred_reweighting_epoch": 2}
    )
    set_epoch = trainer.criterion.set_epoch
    trainer.criterion.set_epoch = lambda epoch: [set_epoch(epoch), seen.append(epoch)]
    trainer.train()
    assert seen == [0, 1, 2] and trainer.criterion.reweight


def test_channels_last_changes_no_result(tmp_path):
    logits = []
    for channels_last in (False, True):
        trainer = make_trainer(tmp_path, plain=True, channels_last=channels_last)
        logits.append(trainer.predict(trainer.eval_dataset).predictions)
    np.testing.assert_allclose(*logits, atol=1e-5)


def test_evaluation_is_in_float32_also_where_training_is_in_bf16(tmp_path):
    trainer = make_trainer(tmp_path, bf16=True, max_steps=2)
    before = copy.deepcopy(trainer.model)
    trainer.train()
    assert not torch.equal(before.head[-1].weight, trainer.model.head[-1].weight)
    logits = trainer.predict(trainer.eval_dataset).predictions
    network = copy.deepcopy(before)
    network.load_state_dict(trainer.model.state_dict())
    pixel_values = trainer.processing_class.normalize_batch(trainer.eval_dataset.images)
    with torch.no_grad():
        expected = network.eval()(pixel_values).logits.numpy()
    assert np.allclose(logits, expected, rtol=0, atol=1e-5)  # bf16 would differ by 1e-2


def test_training_images_grow_and_evaluation_keeps_the_models_size(tmp_path):
    trainer = make_trainer(
        tmp_path, num_train_epochs=4, progressive_sizes=[16, 24], eval_strategy="epoch"
    )
    sizes = {True: [], False: []}  # by whether the model is trained
    trainer.model.backbone.conv_stem.register_forward_pre_hook(
        lambda module, args: sizes[module.training].append(args[0].shape[-1])
    )
    trainer.train()
    assert sizes[True] == [16] * 8 + [24] * 8
    assert set(sizes[False]) == {32}


def test_an_optimizer_of_timm(tmp_path):
    trainer = make_trainer(tmp_path, timm_optim="nmuon", weight_decay=0.1, learning_rate=3e-3)
    trainer.train()
    optimizer = trainer.optimizer.optimizer
    assert type(optimizer).__name__ == "Muon" and optimizer.defaults["nesterov"]
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0]
    assert {group["initial_lr"] for group in optimizer.param_groups} == {3e-3}


def test_time_and_rates_are_those_of_the_whole_run(tmp_path, monkeypatch):
    options = {"num_train_epochs": 2, "save_strategy": "epoch", "logging_steps": 1}
    first, clock = make_trainer(tmp_path / "a", **options), time.monotonic
    with monkeypatch.context() as patch:  # the first call is an hour before the others
        earlier = iter([3600])
        patch.setattr("training.trainer.time.monotonic", lambda: clock() - next(earlier, 0))
        first.train()
    resumed = make_trainer(tmp_path / "b", **options)
    output = resumed.train(resume_from_checkpoint=str(tmp_path / "a" / "checkpoint-4"))
    assert 3600 <= output.metrics["train_runtime"] < 3700
    images = output.metrics["train_samples_per_second"] * output.metrics["train_runtime"]
    assert images == pytest.approx(64, rel=0.05)


OVERRIDDEN = {"_get_train_sampler", "_run_epoch"}
READ = {
    "_tr_loss", "_total_loss_scalar", "_globalstep_last_logged", "_initial_global_step",
    "_train_batch_size", "_get_learning_rate",
}  # fmt: skip


def test_the_trainer_leans_on_these_private_names_of_transformers():
    """A transformers without one of them fails here first, and says which."""
    own = {
        name
        for name in vars(FerTrainer)
        if name.startswith("_") and not name.startswith("__") and hasattr(Trainer, name)
    }
    assert own == OVERRIDDEN
    source = inspect.getsource(transformers.trainer)
    assert not [name for name in OVERRIDDEN | READ if not re.search(rf"\b{name}\b", source)]
    ours = inspect.getsource(FerTrainer)
    used = {name for name in re.findall(r"self\.(_[a-z]\w*)", ours)}
    assert used - set(vars(FerTrainer)) == READ
    assert {"output_dir", "_internal_call"} <= {*inspect.signature(Trainer.save_model).parameters}
