#!/bin/bash
# Makes the database where there is none, then starts the server as its own user.
set -e
if [[ $1 == mariadbd ]]; then
    mkdir -p /run/mysqld # ctr mounts an empty tmpfs on /run
    chown -R mysql:mysql /var/lib/mysql /run/mysqld
    if [[ ! -d /var/lib/mysql/mysql ]]; then
        gosu mysql mariadb-install-db --datadir=/var/lib/mysql \
            --auth-root-authentication-method=normal --skip-test-db >/dev/null
    fi
    exec gosu mysql "$@"
fi
exec "$@"
