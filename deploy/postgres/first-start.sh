#!/bin/bash
# Run once by the postgres image, when its volume is empty: Tipoff gets a role that owns its own database and nothing
# else. The superuser stays out of the application.
set -eu
psql --no-psqlrc --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres \
    --set password="$(cat /run/secrets/tipoff_database_password)" <<'END'
CREATE ROLE tipoff LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'password';
CREATE DATABASE tipoff OWNER tipoff;
REVOKE ALL ON DATABASE tipoff FROM PUBLIC;
REVOKE CONNECT ON DATABASE postgres FROM PUBLIC;
END
