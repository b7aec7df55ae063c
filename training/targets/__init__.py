"""
What becomes of a label on its way to the loss: votes, mixup and cutmix, teachers, smoothing.

Each step holds, side by side, what it does to the targets of a batch and what that does to the
shares of the classes, which the network learns to expect.
"""

from .arguments import TargetArguments
from .mixing import Mixing
from .pipeline import Batch, Targets
from .smoothing import LabelSmoothing
from .teachers import Teachers
from .votes import translate_votes, with_votes
