"""`python -m podium` is `podium`."""

from podium.cli import main

__all__: list[str] = []

if __name__ == "__main__":
    main()
