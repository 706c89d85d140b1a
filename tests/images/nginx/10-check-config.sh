#!/bin/sh
# A broken configuration ends the container at once, with its reason.
exec nginx -q -t
