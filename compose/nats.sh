#!/bin/sh
# Starts NATS with the arguments of this script, and ends it when only a new start makes it take messages again; whoever
# runs this script starts it anew (compose: `restart: unless-stopped`).
#
# - A start that was killed leaves an empty file _test_* in the store; the next one takes it for an account and is never
#   healthy again. Such files are deleted first.
# - A stream that could not be written, because the disk was full, is closed until a new start, even with space. So a
#   server that says so three times in a row is ended, once its disk has space. No other answer ends it.
set -u
store=${NATS_STORE:-/var/lib/moneypath/jetstream}
host=127.0.0.1
port=${NATS_MONITORING_PORT:-8222}
pause=${NATS_WATCH_SECONDS:-2}
least_free_kib=${NATS_LEAST_FREE_KIB:-32768}

# Prints the page, whatever its status: wget of busybox prints none that is an error, and nc is not everywhere.
health() {
    page='/healthz?details=true'
    if command -v nc >/dev/null; then
        printf 'GET %s HTTP/1.0\r\n\r\n' "$page" | nc -w 2 "$host" "$port"
    else
        wget -q -T 2 -O - --content-on-error "http://$host:$port$page"
    fi 2>/dev/null
}

if [ -d "$store" ]; then
    find "$store" -type f -name '_test_*' -exec rm -f {} +
fi
nats-server "$@" &
server=$!
trap 'kill -TERM "$server"' TERM INT
refused=0
while kill -0 "$server" 2>/dev/null; do
    # In the background, so that a signal is passed on at once.
    sleep "$pause" &
    wait $!
    case $(health) in
        *' write error: '* | *'etStream not enabled'*) refused=$((refused + 1)) ;;
        *) refused=0 ;;
    esac
    free_kib=$(df -Pk "$store" | awk 'NR == 2 { print $4 }')
    if [ "$refused" -ge 3 ] && [ "${free_kib:-0}" -ge "$least_free_kib" ]; then
        echo "nats.sh: takes no messages although its disk has $free_kib KiB; ends, to be started again" >&2
        kill -TERM "$server"
        wait "$server"
        exit 1
    fi
done
wait "$server"
