"""How the app finds and follows faces, as the host does: the app has no numbers of its own, it is told these."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from mlbench.errors import UsageError
from mlbench.faces.detection import HaarDetector
from mlbench.faces.face_network import FaceNetwork
from mlbench.faces.landmarks import POINTS
from mlbench.faces.presence import PRESENCE
from mlbench.faces.smoothing import OneEuro
from mlbench.faces.tracking import TO_BOX, Rules

#: The one detector that the app has.
DETECTOR = "haar"


def require_known(detector: str) -> None:
    """Check that the app has a detector.

    Raises:
        UsageError: it has not.
    """
    if detector != DETECTOR:
        message = f"The app has the detector {DETECTOR} alone, not {detector}: leave --detector out."
        raise UsageError(message)


def of_detector(cascade: str, smallest: int) -> dict[str, Any]:
    """The detector, by the name of its file on the phone and the side of the smallest face, px."""
    known = HaarDetector(min_size=smallest)
    return {"cascade": cascade, **asdict(known)}


def of_network(network: FaceNetwork, rules: Rules) -> dict[str, Any]:
    """How crops are cut, which output is what, and what is refused."""
    told: dict[str, Any] = {"margin": network.margin, "points": network.places[POINTS]}
    if network.answers_presence:
        settings = dict(network.settings)
        if rules.min_presence is not None:
            settings["presence_threshold"] = rules.min_presence
        told["presence"] = {"output": network.places[PRESENCE], **settings}
    return told


def of_tracking(rules: Rules) -> dict[str, Any]:
    """The rules, the way from landmarks to a box, and the filter of landmarks, where they are smoothed."""
    euro = OneEuro()
    smoothing = {"cutoff": euro.cutoff, "beta": euro.beta, "speed_cutoff": euro.speed_cutoff}
    return {**asdict(rules), "to_box": asdict(TO_BOX), "smoothing": smoothing if rules.smooth else None}
