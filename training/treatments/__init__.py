"""
What is done against imbalance: which images are sampled, and which loss is applied to them.

Each loss is a file of this room, and a new file is a new `--loss` (docs/treatments.md).
"""

from ..flags import arg, check_range
from .arguments import TreatmentArguments
from .class_balanced import ClassBalanced, class_balanced_loss
from .cross_entropy import CrossEntropy
from .focal import Focal, focal_loss
from .functional import class_weights, one_hot
from .ldam import LDAM, ldam_loss
from .logit_adjusted import LogitAdjusted, logit_adjusted_loss
from .loss import BenchmarkRow, Loss
from .register import find_loss, flag_fields, losses, soft_label_losses
from .sampling import SAMPLINGS, EpochSampler, apply_sampling, oversample, undersample
from .weighted_bce import WeightedBCE, weighted_bce_loss
from .weighted_cross_entropy import WeightedCrossEntropy, weighted_cross_entropy_loss
