"""How fast the engines are, beside their peers, in one run on one machine and one workload."""
