"""The published 3-force system, defects included: pure functions over plain values (see docs/strategies.md)."""
