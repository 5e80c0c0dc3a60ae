"""What settings of strategies must be."""

from __future__ import annotations

from protocol.errors import ConfigError


def above_zero(**settings: float) -> None:
    """Raise ConfigError for the first setting that is not above 0."""
    for name, value in settings.items():
        if not value > 0:
            raise ConfigError(f"{name} must be above 0")


def within(low: float, high: float, **settings: float) -> None:
    """Raise ConfigError for the first setting that is not between two bounds, both allowed."""
    for name, value in settings.items():
        if not low <= value <= high:
            raise ConfigError(f"{name} must be between {low:g} and {high:g}")
