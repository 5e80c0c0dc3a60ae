"""The vocabulary: messages, signing, units, errors."""
