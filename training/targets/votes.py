"""FER+ votes in the targets."""

import dataclasses

import torch
import torch.nn.functional as F

from ..data import DataError, FaceDataset, vote_shares
from ..treatments.functional import one_hot
from .pipeline import Batch


def translate_votes(labels: torch.Tensor, votes: torch.Tensor) -> torch.Tensor:
    """
    P(label | votes), float32 (N, C); an image without votes has its label.

    FER+'s voters (Barsoum et al., ICMI 2016) choose "neutral" twice as often as FER-2013's labels
    do, so their shares are translated: P is a logistic regression from the ten shares of votes to
    the labels, fitted on these very rows.

    Args:
        labels: int64 (N,), all C classes among them.
        votes: (N, 10) in the order of `training.data.ferplus.COLUMNS`.
    """
    classes = int(labels.max()) + 1
    number = votes.sum(dim=1, keepdim=True)  # (N, 1)
    has_votes = number[:, 0] > 0
    shares = (votes[has_votes] / number[has_votes]).double().numpy()  # (rows with votes, 10)
    from sklearn.linear_model import LogisticRegression

    translation = LogisticRegression(max_iter=1000).fit(shares, labels[has_votes].numpy())
    given = torch.zeros(len(shares), classes)
    # a class whose images all lack votes has no column
    given[:, translation.classes_] = torch.from_numpy(translation.predict_proba(shares)).float()
    voted = F.one_hot(labels, classes).float()  # (N, C)
    voted[has_votes] = given
    return voted


def with_votes(
    train: FaceDataset, weight: float, source: str, label_source: str = "dataset"
) -> FaceDataset:
    """
    `train` with the probabilities of labels by their votes, for `--ferplus_weight`; 0 leaves it as
    it is.

    Args:
        source: name of the data in messages.
        label_source: `"dataset"`: the votes are translated (`translate_votes`); `"ferplus"`: the
            labels are theirs, and so are the shares (`vote_shares`).

    Raises:
        DataError: there are no votes.
    """
    if not weight:
        return train
    if train.votes is None or not train.votes.any():
        raise DataError(
            f"{source}: --ferplus_weight {weight} needs FER+ votes, but there is no column "
            "ferplus_votes with any. Add --ferplus_csv fer2013new.csv "
            "(github.com/microsoft/FERPlus) to Kaggle's fer2013.csv, or train on the labels alone "
            "with --ferplus_weight 0."
        )
    if label_source == "ferplus":
        voted = torch.from_numpy(vote_shares(train.votes.numpy())).float()
    else:
        voted = translate_votes(train.labels, train.votes)
    return train.with_voted(voted)


class Votes:
    """
    The target is (1 - weight) label + weight P(label | votes). The first step: it expects labels.

    Args:
        weight: in [0, 1].
        train: the images that are trained on, after `with_votes` and sampling.
    """

    def __init__(self, weight: float, train: FaceDataset):
        self.weight = weight
        # (C, C), row c: the mean by votes over the images of class c
        self.mean_voted = torch.stack(
            [train.voted[train.labels == c].mean(dim=0) for c in range(train.voted.shape[1])]
        )

    def apply(self, batch: Batch) -> Batch:
        labels = one_hot(batch.targets, batch.voted.shape[1])  # (N, C)
        mixed = (1 - self.weight) * labels + self.weight * batch.voted
        return dataclasses.replace(batch, targets=mixed)

    def shares(self, shares: torch.Tensor) -> torch.Tensor:
        return (1 - self.weight) * shares + self.weight * (shares @ self.mean_voted.to(shares))
