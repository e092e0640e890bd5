#!/bin/sh
# Start one bot as the old program was started, main.py FOLDER: the bot that BOT_API_TOKEN, BOT_NAME and BOT_FOLDER of the
# environment or of .env in this checkout describe, on the database of DATABASE_URL, with the courses of scripts/FOLDER.
#
#   bin/telegram/run.sh [FOLDER]
set -eu
cd -P "$(dirname "$0")/../.."

# What it shows of itself lies in a folder of its own: in /tmp somebody else's bot may be, or somebody's link.
state=.flotilla/old/$(printf %s "${1:-bot}" | tr -c 'A-Za-z0-9_' _)
(umask 077 && mkdir -p "$state")
export HEARTBEAT_FILE="${HEARTBEAT_FILE:-$state/heartbeat}" CONTROL_SOCKET="${CONTROL_SOCKET:-$state/control.sock}"

# The launcher sets the environment up if need be; the bot itself then takes this shell's place.
./flotilla --version >/dev/null
exec "${FLOTILLA_VENV:-.venv}/bin/python" -m app "$@"
