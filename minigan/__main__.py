"""`python -m minigan` is `minigan`."""

from .cli import main

main()
