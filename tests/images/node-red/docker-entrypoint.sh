#!/bin/sh
# Starts Node-RED with the container's arguments.
exec node /usr/src/node-red/node_modules/node-red/red.js "$@"
