"""Strategies: one small class each, one pure method."""
