import re
from pathlib import Path

import pytest
import yaml

from training.arguments import FerTrainingArguments, parse_arguments
from training.data import DEFAULT_SOURCE
from training.recipes import read_recipe
from training.unsupported_flags import UNSUPPORTED

CONFIGS = Path(__file__).parents[2] / "configs"
RECIPES = sorted(set(CONFIGS.rglob("*.yaml")) - set(CONFIGS.glob("accelerate/*")))


def parse(*argv):
    return parse_arguments("Train.", [str(value) for value in argv])


@pytest.fixture
def recipe(tmp_path):
    def write(file="mine.yaml", /, **values) -> Path:
        path = tmp_path / file
        path.write_text(yaml.safe_dump(values))
        return path

    return write


# recipe and flags


def test_recipe_then_flags_override_it(recipe):
    path = recipe(
        dataset="synthetic", learning_rate=0.01, head_hidden_sizes=[64, 32], drop_eval_copies=True,
        channels_last=False, seed=7, dataset_revision=None,
    )  # fmt: skip
    args = parse(path)
    assert args.data.dataset == "synthetic" and args.data.drop_eval_copies is True
    assert args.data.dataset_revision is None
    assert args.training.learning_rate == 0.01 and args.training.seed == 7
    assert args.training.channels_last is False
    assert args.model.head_hidden_sizes == [64, 32]
    assert args.training.output_dir == "runs/mine"
    flags = ["--learning_rate", "0.5", "--drop_eval_copies", "false", "--output_dir", "elsewhere"]
    args = parse(path, *flags, "--channels_last")
    assert args.training.learning_rate == 0.5 and args.data.drop_eval_copies is False
    assert args.training.output_dir == "elsewhere" and args.training.channels_last is True
    assert args.data.dataset == "synthetic" and args.training.seed == 7


def test_an_extended_recipe_is_read_first_and_flags_last(recipe):
    recipe("base.yaml", seed=3, timm_optim="nmuon", weight_decay=0.1, mixup=0.2)
    path = recipe(extends="base.yaml", weight_decay=0.2, timm_optim=None)
    args = parse(path, "--mixup", "0.4")
    assert args.targets.mixup == 0.4 and args.training.output_dir == "runs/mine"
    assert (args.training.seed, args.training.weight_decay) == (3, 0.2)
    assert args.training.timm_optim is None


def test_extends_is_no_flag(refused):
    assert refused("--extends", "base.yaml") == "unknown flag 'extends'; see --help."


def test_what_decides_the_weights_is_decisive_and_the_rest_is_not():
    settings = parse().decisive("fingerprint")
    assert {"eval_split", "dataloader_drop_last", "learning_rate", "loss"} <= set(settings)
    others = {"eval_strategy", "eval_steps", "dataloader_num_workers", "save_steps", "output_dir"}
    assert not others & set(settings)


def test_no_arguments_give_the_defaults():
    args = parse()
    assert args.data.dataset == DEFAULT_SOURCE and args.data.eval_split == "validation"
    assert (args.treatment.sampling, args.treatment.loss) == ("none", "cross_entropy")
    assert args.model.backbone == "efficientnet_b0" and args.model.pretrained is None
    assert args.training.output_dir == "runs/train"


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_shipped_recipe_parses(path):
    recipe = read_recipe(path)
    args = parse(path, *(["--use_cpu"] if recipe.get("bf16") else []))  # of one GPU
    assert recipe and args.training.output_dir == f"runs/{path.stem}"
    values = {name: value for group in vars(args).values() for name, value in vars(group).items()}
    for name, value in recipe.items():
        parsed = values[name]
        if name != "focal_alpha":
            assert type(value)(getattr(parsed, "value", parsed)) == value, name


@pytest.mark.parametrize(
    "values, message",
    [
        ({"lerning_rate": 1}, "mine.yaml: unknown key 'lerning_rate'; did you mean 'learning"),
        ({"focal_gama": 1}, "unknown key 'focal_gama'; did you mean 'focal_gamma'?"),
        ({"zzzzqqqq": 1}, "unknown key 'zzzzqqqq'; see --help."),
        ({"seed": "many"}, "argument --seed: invalid int value: 'many'"),
    ],
)
def test_wrong_recipe_is_refused(recipe, refused, values, message):
    assert message in refused(recipe(**values))


def test_unknown_flag_names_the_nearest(refused):
    message = "unknown flag 'undersampel'; did you mean 'undersample'?"
    assert refused("--undersampel=5") == message
    assert "unknown flag 'learning'" in refused("--learning", "0.1")  # no abbreviation


# values


@pytest.mark.parametrize(
    "values, alpha",
    [(["none"], None), (["inverse"], [1.5, 0.5]), (["0.25", "1.5"], [0.25, 1.5])],
)
def test_focal_alpha(recipe, values, alpha):
    def bound(args):
        weights = args.loss.bind([1, 3]).alpha
        return None if weights is None else weights.tolist()

    assert bound(parse("--loss", "focal", "--focal_alpha", *values)) == alpha
    value = values[0] if len(values) == 1 else [float(v) for v in values]
    from_recipe = parse(recipe(loss="focal", focal_alpha=value))
    assert bound(from_recipe) == alpha


def test_head_without_hidden_layers(recipe):
    assert parse("--head_hidden_sizes").model.head_hidden_sizes == []
    assert parse("--head_hidden_sizes", "--seed", 1).model.head_hidden_sizes == []
    assert parse(recipe(head_hidden_sizes=[], seed=1)).model.head_hidden_sizes == []
    assert parse("--head_hidden_sizes", 256, 128).model.head_hidden_sizes == [256, 128]


def test_pretrained_alone_with_a_value_and_not(recipe):
    assert parse("--pretrained").model.pretrained == "imagenet"
    assert parse("--pretrained", "--seed", 1).model.pretrained == "imagenet"
    assert parse("--pretrained", "b0.safetensors").model.pretrained == "b0.safetensors"
    assert parse(recipe(pretrained="tf_efficientnet_b0")).model.pretrained == "tf_efficientnet_b0"
    assert parse(recipe(pretrained="imagenet"), "--no_pretrained").model.pretrained is None
    assert parse("--no_pretrained").model.pretrained is None


def test_switches_in_a_recipe(recipe):
    assert parse(recipe(pretrained=True)).model.pretrained == "imagenet"
    assert parse(recipe(pretrained=False)).model.pretrained is None
    assert parse(recipe(no_pretrained=True)).model.pretrained is None
    assert parse(recipe(no_channels_last=True)).training.channels_last is False
    assert parse(recipe(channels_last=True, overwrite=False)).training.overwrite is False
    assert parse(recipe(resume_from_checkpoint=True)).training.resume_from_checkpoint == "True"


def test_undersample_and_its_sampling_imply_each_other():
    args = parse("--undersample", 500).treatment
    assert (args.sampling, args.undersample) == ("undersample", "500")
    args = parse("--sampling", "undersample").treatment
    assert (args.sampling, args.undersample) == ("undersample", "min")
    assert parse("--sampling", "weighted").treatment.undersample is None


def test_evaluation_split_and_folder_follow_the_task():
    assert parse("--split", "paper").data.eval_split == "test"
    evaluation = parse("--evaluate_only", "--model_name_or_path", "model")
    assert evaluation.training.output_dir == "runs/evaluation"


def test_flags_of_training_arguments_work(recipe):
    args = parse(
        recipe(lr_scheduler_kwargs={"num_cycles": 2}), "--lr_scheduler_type", "cosine",
        "--weight_decay", "0.05", "--num_train_epochs", "3", "--gradient_accumulation_steps", "4",
        "--load_best_model_at_end", "--metric_for_best_model", "macro_f1",
    ).training  # fmt: skip
    assert args.lr_scheduler_type == "cosine" and args.lr_scheduler_kwargs == {"num_cycles": 2}
    assert args.weight_decay == 0.05 and args.num_train_epochs == 3
    assert args.gradient_accumulation_steps == 4
    assert args.load_best_model_at_end and args.metric_for_best_model == "macro_f1"


# flags of transformers that would fail late, or do something else here

SET_TO = {
    "label_smoothing_factor": 0.1,
    "push_to_hub": True,
    "hub_token": "hf_secret",
    "save_only_model": True,
    "prediction_loss_only": True,
    "bf16_full_eval": True,
    "fp16_full_eval": True,
    "dataloader_drop_last": True,
    "dataloader_in_order": False,
    "batch_eval_metrics": True,
    "eval_do_concat_batches": False,
    "train_sampling_strategy": "group_by_length",
    "eval_use_gather_object": True,
    "accelerator_config": {"split_batches": True},
    "auto_find_batch_size": True,
    "use_liger_kernel": True,
    "liger_kernel_config": {"rope": True},
    "neftune_noise_alpha": 5.0,
    "fsdp": "full_shard",
    "fsdp_config": {"min_num_params": 1},
    "deepspeed": "ds.json",
    "parallelism_config": object(),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_a_flag_that_would_fail_late_is_refused_with_a_way_out(name):
    with pytest.raises(ValueError) as refusal:
        FerTrainingArguments(**{name: SET_TO[name]})
    message = str(refusal.value)
    assert message.startswith(f"--{name} ") and message.endswith(".") and len(message) < 300
    assert "hf_secret" not in message


@pytest.mark.parametrize("name", ["fsdp", "deepspeed"])
def test_a_split_network_is_refused_where_accelerate_launch_asks_for_it(name, monkeypatch, refused):
    monkeypatch.setenv(f"ACCELERATE_USE_{name.upper()}", "true")
    assert refused().startswith(f"accelerate launch --use_{name} splits the network")


@pytest.mark.parametrize(
    "metric, greater", [("ece", False), ("eval_ece", False), ("loss", False), ("recall_sad", True)]
)
def test_the_best_checkpoint_is_the_least_wrong(metric, greater):
    args = parse("--load_best_model_at_end", "--metric_for_best_model", metric)
    assert args.training.greater_is_better is greater


def test_processes_look_for_unused_parameters_only_where_layers_are_frozen():
    frozen = ("--freeze_backbone_epochs", "1", "--pretrained")
    for flags, searched in {
        (): False,
        frozen: True,
        ("--ddp_find_unused_parameters", "true"): True,
        (*frozen, "--ddp_find_unused_parameters", "false"): False,
    }.items():
        args = parse(*flags)
        assert args.training.ddp_find_unused_parameters is searched
        assert "ddp_find_unused_parameters" not in args.decisive("data")


# what would fail late, or has no meaning

SOFT = "makes soft labels, for which the {} loss is not defined"


@pytest.mark.parametrize(
    "flags, message",
    [
        ("--timm_optim nmuon --adam_beta1 0.8", "--adam_beta1 is for the optimizers of transfo"),
        ("--timm_optim nmuon --optim sgd", "but --timm_optim is nmuon; leave it out"),
        ("--optim schedule_free_adamw", "--optim schedule_free_adamw has other weights in"),
        ("--num_train_epochs -1", "--num_train_epochs must be in [0, inf), but it is -1"),
        ("--debug tpu_metrics_debug", "needs a TPU"),
        ("--fp16 --use_cpu", "--fp16 needs a GPU and would be ignored; --bf16 works"),
        ("--save_strategy best", "--save_strategy best needs --metric_for_best_model: loss, acc"),
        (
            "--save_strategy best --metric_for_best_model loss --eval_strategy no",
            "_strategy is no;",
        ),
        ("--load_best_model_at_end --save_strategy no --eval_strategy no", "eval_strategy is no; "),
        ("--metric_for_best_model eval_macro_f2", "unknown metric 'macro_f2'; did you mean 'macro"),
        ("--sampling oversampling", "invalid choice: 'oversampling'"),
        ("--undersample 0", "must be a positive number, 'min' or 'at_most:N', but it is '0'."),
        ("--per_device_train_batch_size 1", "--per_device_train_batch_size must be in [2, inf)"),
        ("--gradient_accumulation_steps 0", "--gradient_accumulation_steps must be in [1, inf)"),
        ("--learning_rate nan", "--learning_rate must be in [0, inf)"),
        ("--max_steps 0", "--max_steps must be at least 1, or -1 for --num_train_epochs"),
        ("--augment_flip 2", "--augment_flip must be in [0, 1]"),
        ("--augment_rotate -1", "--augment_rotate must be in [0, 180]"),
        ("--image_size 0", "--image_size must be in [1, inf)"),
        ("--loss focal --focal_alpha 1 nan", "one number per class, at least 0, but it is 1 nan"),
        ("--loss ldam --deferred_reweighting_epoch -1", "_epoch must be in [0, inf)"),
        (
            "--loss ldam --deferred_reweighting_epoch 2 --num_train_epochs 2",
            "--deferred_reweighting_epoch 2 would never come: there are 2 epochs",
        ),
        ("--timm_optim nmuom", "unknown optimizer 'nmuom'; did you mean 'nmuon'?"),
        ("--progressive_sizes 32 40 48 --num_train_epochs 2", "has 3 sizes, but there are 2 e"),
        ("--precise_bn 1", "--precise_bn must be 0 (off) or at least 32, but it is 1"),
        ("--progressive_sizes 8 48", "--progressive_sizes must be at least 16 pixels each"),
        ("--ferplus_weight 1.5", "--ferplus_weight must be in [0, 1"),
        ("--distillation_weight 2", "--distillation_weight must be in [0, 1"),
        ("--average_with model", "--average_with needs --model_name_or_path"),
        ("--average_weight 2", "--average_weight must be in [0, 1"),
        ("--eval_split test --load_best_model_at_end", "choose the checkpoint by the test"),
        ("--loss focal --ferplus_weight 0.5", "--ferplus_weight " + SOFT.format("focal")),
        ("--loss ldam --teachers model", "--teachers " + SOFT.format("ldam")),
        ("--undersample 5 --sampling oversample", "--undersample and --sampling oversample excl"),
        ("--undersample most", "a positive number, 'min' or 'at_most:N', but it is 'most'"),
        ("--loss focal --label_smoothing 0.1", "--label_smoothing " + SOFT.format("focal")),
        ("--loss focal --mixup 0.2", "--mixup " + SOFT.format("focal")),
        ("--loss ldam --cutmix 1", "--cutmix " + SOFT.format("ldam")),
        ("--deferred_reweighting_epoch 3", "belongs to --loss ldam, but the loss is cross_entropy"),
        ("--label_smoothing 1", "--label_smoothing must be in [0, 1), but it is 1.0"),
        ("--class_balanced_beta 1", "--class_balanced_beta must be in [0, 1), but it is 1.0"),
        ("--focal_gamma -1", "--focal_gamma must be in [0, inf), but it is -1.0"),
        ("--logit_adjustment_tau nan", "--logit_adjustment_tau must be in [0, inf)"),
        ("--ldam_max_margin -0.5", "--ldam_max_margin must be in [0, inf), but it is -0.5"),
        ("--mixup -1", "--mixup must be in [0, inf), but it is -1.0"),
        ("--cutmix inf", "--cutmix must be in [0, inf), but it is inf"),
        ("--focal_alpha none inverse", "one number per class, at least 0, but it is none inverse"),
        ("--focal_alpha", "none, inverse or one number per class, at least 0, but it is empty"),
        ("--ema_decay 1", "--ema_decay must be in [0, 1), but it is 1.0"),
        ("--evaluate_only", "--evaluate_only needs --model_name_or_path"),
        ("--calibrate --model_name_or_path model", "--calibrate needs --evaluate_only, --eval_spl"),
        ("--freeze_backbone_epochs 2", "but it would be random: add --pretrained or --model_name"),
        ("--pretrained --model_name_or_path m", "--pretrained and --model_name_or_path exclude"),
        ("--split paper --eval_split validation", "but --eval_split is 'validation'"),
    ],
)
def test_values_and_combinations_without_meaning_are_refused(refused, flags, message):
    assert message in refused(*flags.split())


@pytest.mark.parametrize(
    "flags",
    [
        "--loss ldam --deferred_reweighting_epoch 3 --num_train_epochs 4",
        "--loss ldam --deferred_reweighting_epoch 3 --max_steps 1000",
        "--loss weighted_bce --mixup 0.2 --cutmix 1 --label_smoothing 0.1",
        "--undersample min --sampling undersample",
        "--pretrained --freeze_backbone_epochs 2",
        "--model_name_or_path m --freeze_backbone_epochs 2",
    ],
)
def test_combination_with_meaning_is_accepted(flags):
    parse(*flags.split())


def shown_by(flag, capsys) -> str:
    with pytest.raises(SystemExit) as end:
        parse(flag)
    assert end.value.code == 0
    return capsys.readouterr().out


def test_help_shows_what_people_use_and_help_all_the_rest(capsys):
    short, whole = shown_by("--help", capsys), shown_by("--help_all", capsys)
    assert short.startswith("usage: train.py [RECIPE.yaml] [--flag value ...]")
    for group in ("data", "treatment of imbalance", "losses", "targets", "model", "augmentation"):
        assert f"\n{group}" in short
    assert "Focusing exponent of the focal loss" in short and "(default: 2.0)" in short
    assert "--weight_decay X" in short and "--help_all" in short
    rare = "--adam_beta2 X"
    assert rare not in short and rare in whole
    assert len(short.splitlines()) < 350 < len(whole.splitlines())
    for text in (short, whole):  # each flag once
        flags = re.findall(r"(?m)^  (--\S+)", text)
        assert len(flags) == len(set(flags)) and not re.search(r"(?m)^  .*--[a-z]+-[a-z]", text)
        assert "--no_channels_last" not in text and "--channels_last [true|false]" in text
    assert parse("--no-channels-last", "--adam_beta2", 0.9).training.channels_last is False
