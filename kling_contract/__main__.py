"""The command line, run with `python -m kling_contract`."""

from kling_contract.cli import main

main()
