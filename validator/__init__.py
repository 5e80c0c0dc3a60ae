"""The validator process."""
