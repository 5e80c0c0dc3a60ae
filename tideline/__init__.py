"""The command line and the wiring of the three processes."""
