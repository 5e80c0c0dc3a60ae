"""The corrected system, part by part: pure functions behind `btr_plus` (see docs/strategies.md)."""
