"""``python -m app [FOLDER]``: the bots that the environment names, as containers and the old program's start scripts run them."""

from app.runtime.main import main

main()
