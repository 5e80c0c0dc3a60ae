"""The reference miner process."""
