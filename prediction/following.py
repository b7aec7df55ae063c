"""Faces followed from frame to frame: one person keeps one id and a smoothed curve."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

LEAST_OVERLAP = 0.3  # intersection over union of a face's boxes in two frames that are looked at
PATIENCE = 1.0  # seconds a person may be out of sight
SMOOTHING = 0.5  # seconds; time constant of the exponential mean of the probabilities


@dataclass
class Person:
    """Where and when a followed face was last seen, and its smoothed probabilities."""

    id: int
    box: dict
    time: float
    scores: dict[str, float]


def overlap(box: dict, other: dict) -> float:
    """Intersection over union of two boxes, in [0, 1]."""
    width = min(box["xmax"], other["xmax"]) - max(box["xmin"], other["xmin"])
    height = min(box["ymax"], other["ymax"]) - max(box["ymin"], other["ymin"])
    shared = max(0, width) * max(0, height)
    areas = [(b["xmax"] - b["xmin"]) * (b["ymax"] - b["ymin"]) for b in (box, other)]
    return shared / max(1, sum(areas) - shared)


@dataclass
class Follower:
    """
    Gives each face the id of the person whose box it overlaps most, or a new id.

    Matching is greedy. Trackers with a model of motion are for people who cross, which faces in
    front of a camera seldom do, and they would need another package.

    Args:
        certain_from: of the pipeline, applied to smoothed scores.
        patience: seconds a person may be out of sight.
    """

    certain_from: Callable[[dict], float]
    patience: float = PATIENCE
    people: list[Person] = field(default_factory=list)
    known: int = 0

    def follow(self, faces: Sequence[dict], now: float) -> list[dict]:
        """The pipeline's faces -> the same with `person`, and with label and scores smoothed."""
        self.people = [person for person in self.people if now - person.time <= self.patience]
        pairs = sorted(
            ((overlap(person.box, face["box"]), i, j)
             for i, person in enumerate(self.people) for j, face in enumerate(faces)),
            reverse=True,
        )  # fmt: skip
        matched: dict[int, Person] = {}
        for share, i, j in pairs:
            taken = any(self.people[i] is person for person in matched.values())
            if share >= LEAST_OVERLAP and j not in matched and not taken:
                matched[j] = self.people[i]
        return [self._seen(face, matched.get(j), now) for j, face in enumerate(faces)]

    def _seen(self, face: dict, person: Person | None, now: float) -> dict:
        if person is None:
            self.known += 1
            person = Person(self.known, face["box"], now, face["scores"])
            self.people.append(person)
        keep = math.exp(-(now - person.time) / SMOOTHING) if now > person.time else 0.0
        person.scores = {
            label: keep * person.scores[label] + (1 - keep) * share
            for label, share in face["scores"].items()
        }
        person.box, person.time = face["box"], now
        label = max(person.scores, key=person.scores.get)
        score = person.scores[label]
        return face | {
            "person": person.id,
            "label": label,
            "score": score,
            "scores": person.scores,
            "uncertain": score < self.certain_from(face["box"]),
        }
