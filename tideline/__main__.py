"""The `tideline` command."""

from __future__ import annotations

from tideline.cli import main

if __name__ == "__main__":
    main()
