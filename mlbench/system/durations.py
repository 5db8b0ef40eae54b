"""Durations and rates as text."""

from __future__ import annotations


def format_duration(seconds: float) -> str:
    """Seconds for people, two units at most: `45 s`, `12 min`, `1 h 20 min`, `3 days 4 h`."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} days {hours} h" if hours else f"{days} days"


def format_rate(rate: float) -> str:
    """Something per second for people: `1,234 per second`, `0.25 per second`."""
    return f"{rate:,.0f} per second" if rate >= 10 else f"{rate:.2g} per second"
