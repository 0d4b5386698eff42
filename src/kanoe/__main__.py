"""`python -m kanoe`."""

from kanoe.cli.main import main

main()
