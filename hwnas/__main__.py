"""`python -m hwnas` is the command `hwnas`."""

from hwnas.cli.main import main

if __name__ == "__main__":
    main()
