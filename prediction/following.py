"""Faces followed from frame to frame: one person keeps one id and a smoothed curve."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

LEAST_OVERLAP = 0.3  # intersection over union of a face's boxes in two frames that are looked at
# Correlation of a face's crops in two such frames, LOOK_SIDE pixels wide. Of 500 pairs of different
# people in FER-2013's validation split 7 % are above it; of 1,000 faces moved, turned and scaled by
# 2 % or 2 degrees 0.1 % are below (a one-off measurement, its script not kept).
LEAST_LIKENESS = 0.5
LOOK_SIDE = 8
PATIENCE = 1.0  # seconds a person may be out of sight
SMOOTHING = 0.5  # seconds; time constant of the exponential mean of the probabilities


@dataclass
class Person:
    """Where and when a followed face was last seen, its look, and its smoothed probabilities."""

    id: int
    box: dict
    look: np.ndarray
    time: float
    scores: dict[str, float]


def overlap(box: dict, other: dict) -> float:
    """Intersection over union of two boxes, in [0, 1]."""
    width = min(box["xmax"], other["xmax"]) - max(box["xmin"], other["xmin"])
    height = min(box["ymax"], other["ymax"]) - max(box["ymin"], other["ymin"])
    shared = max(0, width) * max(0, height)
    areas = [(b["xmax"] - b["xmin"]) * (b["ymax"] - b["ymin"]) for b in (box, other)]
    return shared / max(1, sum(areas) - shared)


def look_of(crop: np.ndarray) -> np.ndarray:
    """
    uint8 (side, side, 3) -> (LOOK_SIDE ** 2,) of mean 0 and length 1: what a face looks like in few
    numbers, whatever the light's strength.
    """
    small = cv2.resize(crop, (LOOK_SIDE, LOOK_SIDE), interpolation=cv2.INTER_AREA)
    look = small.mean(axis=2).ravel()
    look -= look.mean()
    return look / max(np.linalg.norm(look), 1e-6)


@dataclass
class Follower:
    """
    Gives each face the id of the person whose box it overlaps most and whose face has not become
    another, or a new id.

    Matching is greedy. Trackers with a model of motion are for people who cross, which faces in
    front of a camera seldom do, and they would need another package.

    Args:
        certain_from: of the pipeline, applied to smoothed scores.
    """

    certain_from: Callable[[dict], float]
    people: list[Person] = field(default_factory=list)
    known: int = 0

    def follow(self, faces: Sequence[dict], now: float) -> list[dict]:
        """
        The pipeline's faces, with `crop` -> the same with `person`, and with label and scores
        smoothed; `raw_scores` are those of this frame alone.
        """
        looks = [look_of(face["crop"]) for face in faces]
        self.people = [person for person in self.people if now - person.time <= PATIENCE]
        pairs = sorted(
            ((overlap(person.box, face["box"]), i, j)
             for i, person in enumerate(self.people) for j, face in enumerate(faces)
             if person.look @ looks[j] >= LEAST_LIKENESS),
            reverse=True,
        )  # fmt: skip
        matched: dict[int, Person] = {}
        for share, i, j in pairs:
            taken = any(self.people[i] is person for person in matched.values())
            if share >= LEAST_OVERLAP and j not in matched and not taken:
                matched[j] = self.people[i]
        return [self._seen(face, looks[j], matched.get(j), now) for j, face in enumerate(faces)]

    def _seen(self, face: dict, look: np.ndarray, person: Person | None, now: float) -> dict:
        if person is None:
            self.known += 1
            person = Person(self.known, face["box"], look, now, face["scores"])
            self.people.append(person)
        keep = math.exp(-(now - person.time) / SMOOTHING) if now > person.time else 0.0
        person.scores = {
            label: keep * person.scores[label] + (1 - keep) * share
            for label, share in face["scores"].items()
        }
        person.box, person.look, person.time = face["box"], look, now
        label = max(person.scores, key=person.scores.get)
        score = person.scores[label]
        return face | {
            "person": person.id,
            "label": label,
            "score": score,
            "scores": person.scores,
            "raw_scores": face["scores"],
            "uncertain": score < self.certain_from(face["box"]),
        }
