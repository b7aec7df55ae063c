"""Faces followed from frame to frame."""

import pytest

from prediction.following import Follower, overlap


def test_people_keep_their_ids_and_are_smoothed(face):
    follower = Follower(certain_from=lambda box: 0.8)
    assert [f["person"] for f in follower.follow([face(0), face(200)], 0.0)] == [1, 2]
    second = follower.follow([face(210), face(10, "sad"), face(500)], 0.1)
    assert [f["person"] for f in second] == [2, 1, 3]
    assert second[1]["label"] == "happy" and 0.02 < second[1]["scores"]["sad"] < 0.5
    assert sum(second[1]["scores"].values()) == pytest.approx(1)
    assert second[1]["uncertain"] and not second[0]["uncertain"]  # by the smoothed scores
    assert follower.follow([face(10, "sad")], 3.0)[0]["person"] == 4  # too long out of sight
    assert overlap(face(0)["box"], face(50)["box"]) == pytest.approx(1 / 3)


def test_another_face_in_the_same_place_is_another_person(face):
    """They alternate before the camera, or the film was cut; light alone makes nobody another."""
    follower, darker = Follower(certain_from=lambda box: 0.0), face(0)
    darker["crop"] = darker["crop"] // 2
    shown = [face(0), darker, face(0, person=1), face(5, person=1), face(0)]
    people = [follower.follow([one], 0.1 * i)[0]["person"] for i, one in enumerate(shown)]
    assert people == [1, 1, 2, 2, 1]  # who was there a moment ago is known again
