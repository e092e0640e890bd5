"""``python -m app [FOLDER]``: the bots that the environment names, as containers and old start scripts run them."""

from app.runtime.main import main

main()
