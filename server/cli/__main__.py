"""`python -m chronotope.server.cli`: the same as `chronotope`."""

from chronotope.server.cli.main import main

main()
