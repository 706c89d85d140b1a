#!/bin/sh
# Runs the hooks, then the server.
set -e
for hook in /docker-entrypoint.d/*.sh; do "$hook"; done
exec "$@"
