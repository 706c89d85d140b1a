#!/bin/bash
# Exits 0 while the server answers.
exec mariadb-admin --socket=/run/mysqld/mysqld.sock ping
