#!/bin/sh
# Puts a dump back, as after PostgreSQL's volume was lost:
#
#   deploy/restore.sh tipoff.dump              refuses when the database holds orders
#   deploy/restore.sh --replace tipoff.dump    throws away what it holds
#
# The dump is restored beside the database and takes its place at the end, so a dump that cannot be restored changes
# nothing. Without containers: COMPOSE= deploy/restore.sh ..., with PGHOST and PGUSER of a superuser set.
set -eu
replace=
if [ "${1:-}" = --replace ]; then replace=yes; shift; fi
dump=${1:?the file that pg_dump --format=custom wrote}
[ -r "$dump" ] || { echo "$dump cannot be read" >&2; exit 1; }
compose=${COMPOSE-docker compose}
database=${TIPOFF_DATABASE:-tipoff}
parts="ingest scoring alerts scoring-worker alerts-worker"

postgres() { # run a program of PostgreSQL where the server is
    if [ -n "$compose" ]; then $compose exec -T postgres "$@"; else "$@"; fi
}
sql() { # $1: the database, $2: one statement
    postgres psql --no-psqlrc --quiet --tuples-only --no-align --set ON_ERROR_STOP=1 --dbname "$1" --command "$2"
}

if [ -n "$compose" ]; then
    $compose up --detach --wait postgres
    # shellcheck disable=SC2086 # several words
    $compose stop $parts
fi
exists=$(sql postgres "SELECT count(*) FROM pg_database WHERE datname = '$database'")
if [ "$exists" = 1 ] && [ -z "$replace" ] && [ "$(sql "$database" "SELECT to_regclass('event') IS NOT NULL")" = t ] &&
    [ "$(sql "$database" 'SELECT EXISTS (SELECT FROM event)')" = t ]; then
    echo "The database $database holds orders. To throw them away: $0 --replace $dump" >&2
    exit 1
fi
postgres dropdb --if-exists "${database}_restored"
postgres createdb --owner tipoff "${database}_restored"
if ! postgres pg_restore --exit-on-error --single-transaction --dbname "${database}_restored" <"$dump"; then
    postgres dropdb "${database}_restored"
    echo "$dump cannot be restored; nothing was changed" >&2
    exit 1
fi
sql postgres "REVOKE ALL ON DATABASE \"${database}_restored\" FROM PUBLIC"
postgres dropdb --if-exists --force "$database"
sql postgres "ALTER DATABASE \"${database}_restored\" RENAME TO \"$database\""
if [ -n "$compose" ]; then
    $compose run --rm migrate
fi
# What waited when the dump was made may have gone since: nobody is told twice before somebody has looked.
sql "$database" "INSERT INTO control (name, value, changed_by) VALUES ('sending_paused', 'true', 'restore')
    ON CONFLICT (name) DO UPDATE SET value = 'true', changed_at = now(), changed_by = 'restore'"
waiting=$(sql "$database" "SELECT count(*) FROM delivery WHERE state = 'ready'")
if [ -n "$compose" ]; then
    $compose up --detach --wait
fi
echo "Sending is paused: $waiting messages waited when the dump was made and may have gone since. Look at them by"
echo "\`tipoff deliveries list --state ready\`, \`tipoff deliveries discard\` those that have, then \`tipoff sending resume\`."
echo "$dump is restored. Load what came since by \`tipoff import orders FILE --since DAY\`: history never alerts."
