"""`python -m app.cli`: the same as `sixlane`."""

from app.cli import main

main()
