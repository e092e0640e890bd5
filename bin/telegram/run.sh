#!/bin/sh
# Start one bot as the old program was started, main.py FOLDER: the bot that BOT_API_TOKEN, BOT_NAME and BOT_FOLDER of the
# environment or of .env in this checkout describe, on the database of DATABASE_URL, with the courses of scripts/FOLDER.
#
#   bin/telegram/run.sh [FOLDER]
set -eu
cd -P "$(dirname "$0")/../.."

# The launcher sets the environment up if need be; the bot itself then takes this shell's place.
./flotilla --version >/dev/null
exec "${FLOTILLA_VENV:-.venv}/bin/python" -m app "$@"
