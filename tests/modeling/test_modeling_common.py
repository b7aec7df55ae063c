"""transformers' own ModelTesterMixin, from its source distribution, over our model."""

import importlib.util
import inspect
import os
import sys
import types
import unittest
from pathlib import Path

import pytest
import torch

from modeling import FerEfficientNetConfig, FerEfficientNetForImageClassification

SOURCE = Path(
    os.environ.get(
        "TRANSFORMERS_TESTS", Path(__file__).parents[2] / ".venv" / "transformers-tests" / "tests"
    )
)


def load_model_tester_mixin():
    """
    Imports tests/test_modeling_common.py as part of a package. Its mixins for exporters and text
    generation are not in the source distribution; nothing of them applies to an image classifier.
    """
    if not (SOURCE / "test_modeling_common.py").is_file():
        pytest.fail(
            f"{SOURCE} has no test_modeling_common.py: `make test` fetches it with transformers' "
            "source distribution."
        )
    package = types.ModuleType("transformers_tests")
    package.__path__ = [str(SOURCE)]
    sys.modules["transformers_tests"] = package
    for module, mixin in (
        ("exporters.test_export", "ExportTesterMixin"),
        ("generation.test_utils", "GenerationTesterMixin"),
    ):
        parent = f"transformers_tests.{module.split('.')[0]}"
        sys.modules[parent] = types.ModuleType(parent)
        sys.modules[parent].__path__ = []
        stand_in = types.ModuleType(f"transformers_tests.{module}")
        setattr(stand_in, mixin, type(mixin, (), {}))
        sys.modules[stand_in.__name__] = stand_in
    name = "transformers_tests.test_modeling_common"
    spec = importlib.util.spec_from_file_location(name, SOURCE / "test_modeling_common.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


common = load_model_tester_mixin()


class FerEfficientNetModelTester:
    def __init__(self, parent, batch_size=3, image_size=32):
        self.parent, self.batch_size, self.image_size = parent, batch_size, image_size
        self.is_training = True

    def get_config(self):
        return FerEfficientNetConfig(
            backbone="test_efficientnet",
            image_size=self.image_size,
            head_hidden_sizes=[16],
            initializer_range=0.02,  # with the default of 0 all outputs would be equal
        )

    def prepare_config_and_inputs_for_common(self):
        shape = [self.batch_size, 1, self.image_size, self.image_size]
        return self.get_config(), {"pixel_values": common.floats_tensor(shape)}


class FerEfficientNetModelTest(common.ModelTesterMixin, unittest.TestCase):
    all_model_classes = (FerEfficientNetForImageClassification,)
    test_resize_embeddings = False
    has_attentions = False

    def setUp(self):
        self.model_tester = FerEfficientNetModelTester(self)

    def _prepare_for_class(self, inputs_dict, model_class, return_labels=False):
        # the mixin looks up who takes labels in transformers' registry, which has no remote code
        inputs = super()._prepare_for_class(inputs_dict, model_class, return_labels=return_labels)
        if return_labels:
            inputs["labels"] = torch.zeros(self.model_tester.batch_size, dtype=torch.long)
        return inputs

    # Overridden and skipped is what transformers' own TimmWrapper test overrides and skips.

    def test_hidden_states_output(self):
        config, inputs = self.model_tester.prepare_config_and_inputs_for_common()
        model = FerEfficientNetForImageClassification(config).eval()
        hidden_states = model(**inputs, output_hidden_states=True).hidden_states
        sides = [state.shape[-1] for state in hidden_states]
        self.assertEqual(sides, [16, 8, 4, 2, 1])

    def test_forward_signature(self):
        parameters = list(
            inspect.signature(FerEfficientNetForImageClassification.forward).parameters
        )
        self.assertEqual(
            parameters, ["self", "pixel_values", "labels", "output_hidden_states", "return_dict"]
        )

    @unittest.skip(reason="an image network has no inputs_embeds")
    def test_inputs_embeds(self):
        pass

    @unittest.skip(reason="an image network has no inputs_embeds")
    def test_model_get_set_embeddings(self):
        pass

    @unittest.skip(reason="the network has no attentions")
    def test_retain_grad_hidden_states_attentions(self):
        pass

    @unittest.skip(reason="timm initialises its own modules")
    def test_can_init_all_missing_weights(self):
        pass

    @unittest.skip(reason="timm's smallest EfficientNet is above the limit of this test")
    def test_model_is_small(self):
        pass
