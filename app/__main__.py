"""`python -m app` is `burnrate`."""

from app.cli import main

main()
