"""The on-chain executor: guards, transactions, keys."""
