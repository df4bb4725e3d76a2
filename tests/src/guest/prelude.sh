# What every script in the guest may use; AGENT is set before it.
set -u
export PATH=/usr/sbin:/usr/bin:/sbin:/bin

fail() { echo "FAILED: $*"; echo "--- agent"; cat /mnt/agent.log; exit 1; }

status() { busybox wget -q -O - http://127.0.0.1:8080/status; }

# until_status SECONDS PATTERN: waits until the agent's status, with everything on one line, matches.
until_status() {
    end=$(($(busybox date +%s) + $1))
    until status >/run/status 2>/dev/null && busybox grep -q -E "$2" /run/status; do
        [ "$(busybox date +%s)" -lt "$end" ] || { cat /run/status; fail "no $2 after $1 s"; }
        busybox usleep 50000
    done
}

# until_there PATH: waits until it is there.
until_there() {
    end=$(($(busybox date +%s) + 10))
    until [ -e "$1" ]; do
        [ "$(busybox date +%s)" -lt "$end" ] || fail "$1 is not there"
        busybox usleep 50000
    done
}

start_agent() {
    "$AGENT" run --config /mnt/agent.toml >>/mnt/agent.log 2>&1 &
    agent=$!
    until_status 30 '"state"'
}

# keep NAME: leaves the agent's status for the test as NAME.json.
keep() { status >"/mnt/$1.json" || fail "no status"; }

# Everything is committed when the agent has ended; the spool is left for the test.
stop_agent() {
    kill -TERM "$agent"
    wait "$agent" || fail "the agent ended with $?"
    cp /run/spool.db* /mnt/ || fail "no spool"
}

# sentinel INTERFACE: a frame to wait for; frames are read in order, so all before it were read.
sentinel() {
    cansend "$1" 1FFFFF0"$2"#5E || fail "cansend"
    until_status 60 "1FFFFF0$2#5E"
}
