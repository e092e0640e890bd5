#!/bin/sh
# Start every bot, each in a process of its own that is started again when it dies, until Ctrl+C.
#
#   bin/telegram/run-all.sh [BOT...]
#
# The bots are those of bots_config.yaml, or of the file that FLOTILLA_CONFIG names. Without one it is the bot of .env, as
# run.sh starts it. Options of `flotilla run` may follow.
set -eu
cd -P "$(dirname "$0")/../.."

config=${FLOTILLA_CONFIG:-bots_config.yaml}
[ -e "$config" ] || [ -n "${FLOTILLA_CONFIG:-}" ] || exec bin/telegram/run.sh
exec ./flotilla run --isolate --config "$config" "$@"
