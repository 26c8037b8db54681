#!/bin/sh
# Makes the secrets of docker-compose.yml, one file each; a file that exists is left as it is.
#
#   deploy/make_secrets.sh [FOLDER]     the folder's default is ./secrets
#
# The folder lets only its owner in. Inside it the files are readable: Docker mounts each with the owner and mode it
# has here, and the processes in the containers are other users than you.
set -eu
cd "$(dirname "$0")/.."
# What docker-compose.yml mounts from here is read by other users too, also in a checkout made under umask 027.
chmod -R a+rX deploy/postgres deploy/prometheus deploy/grafana docs/runbook.md
folder=${1:-secrets}
umask 077
mkdir -p "$folder"
chmod 700 "$folder"

random() { # $1 bytes as hexadecimal digits
    od -An -N "$1" -tx1 /dev/urandom | tr -d ' \n'
}

keep() { # standard input becomes the secret $1, unless there is one
    if [ -e "$folder/$1" ]; then
        cat >/dev/null
    else
        cat >"$folder/$1"
        chmod 444 "$folder/$1"
        echo "made $folder/$1"
    fi
}

of() { # the secret $1
    cat "$folder/$1"
}

random 24 | keep postgres_password
random 24 | keep tipoff_database_password
printf 'postgresql+psycopg://tipoff:%s@postgres:5432/tipoff' "$(of tipoff_database_password)" | keep tipoff_database_url

# Tipoff may use RQ's keys and nothing else; `health` may say PING; nobody comes in without a name.
if [ ! -e "$folder/redis_users" ]; then
    password=$(random 24)
    keep redis_users <<-END
	user default off
	user health on nopass -@all +ping
	user tipoff on >$password resetchannels ~rq:* &rq:* -@all +@read +@write +@connection +@transaction +@pubsub +@scripting +@blocking -@dangerous +info
	END
    rm -f "$folder/tipoff_redis_url"
    printf 'redis://tipoff:%s@redis:6379/0' "$password" | keep tipoff_redis_url
fi

random 32 | keep tipoff_secret_key
# A Standard Webhooks secret for POST /hooks/standard: give it to whoever sends you orders.
printf '{"standard": ["whsec_%s"]}' "$(head -c 32 /dev/urandom | base64 | tr -d '\n')" | keep tipoff_hook_secrets
# The mail sink of the profile `demo`. For real mail write smtp://user:password@your-relay:587 here.
printf 'smtp://mails:1025?starttls=never' | keep tipoff_smtp_url
printf '' | keep tipoff_previous_secret_key # while the key is changed: docs/chat.md
random 12 | keep grafana_admin_password
