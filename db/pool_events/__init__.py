"""The pool events database: what a pool's chain told, block by block, and which stretches of it are complete."""
