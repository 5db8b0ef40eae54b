"""Waits until a phone is cool and charged enough for figures that mean something; with a limit."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from mlbench.contracts import Progress
from mlbench.device_runners.android import facts
from mlbench.device_runners.android.phone import Phone


@dataclass(frozen=True)
class Readiness:
    """What a phone must be like before it is measured, and how long that is waited for."""

    celsius: float = 38.0  # of the battery: what a phone in use has on a table
    level: int = 15  # below it, phones save power
    thermal: int = 1  # light throttling
    wait_s: float = 600.0
    poll_s: float = 10.0

    def wait(self, phone: Phone, progress: Progress, sleep: Callable[[float], None] = time.sleep) -> str:
        """Wait; returns what was still wrong when the time was up, empty where nothing."""
        waited = 0.0
        while reason := self.lacking(phone):
            if waited >= self.wait_s:
                return f"measured although {reason} after {waited:.0f} s of waiting"
            progress.say(f"{phone.serial}: waiting, {reason}")
            sleep(self.poll_s)
            waited += self.poll_s
        return ""

    def lacking(self, phone: Phone) -> str:
        """Why the phone is not ready, empty where it is."""
        battery, thermal = facts.battery(phone), facts.thermal_status(phone)
        if battery.celsius is not None and battery.celsius > self.celsius:
            return f"the battery had {battery.celsius:.1f} °C (limit {self.celsius:.0f})"
        if battery.level is not None and battery.level < self.level and not battery.charging:
            return f"the battery was at {battery.level} % (limit {self.level}) and not charging"
        if thermal is not None and thermal > self.thermal:
            return f"the phone was throttled, thermal status {thermal}"
        return ""
