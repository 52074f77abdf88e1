"""`python -m kling_contract` is `kling-contract`."""

from kling_contract.cli import main

main()
