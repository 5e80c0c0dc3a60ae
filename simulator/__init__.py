"""The exact pool, and everything that is computed from it: portfolios, plans, ledgers, scores."""
