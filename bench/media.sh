#!/usr/bin/env bash
# Measures sound and picture: rooms of 2×2, 10×10 and 1×200 with audio and with 720p simulcast, the server on one
# core and the load on another; the same load on a real LiveKit server first, when there is one (on PATH, or named
# by LIVEKIT_SERVER), so that ours is printed with its ratio. Linux only. See docs/benchmarks.md.
#
#   bench/media.sh                        the whole matrix
#   SECONDS_EACH=10 bench/media.sh 2x2    shorter, and only the rooms named (2x2, 10x10, 1x200)
set -euo pipefail
cd "$(dirname "$0")/.."

server_cpus=${SERVER_CPUS:-0}
load_cpus=${LOAD_CPUS:-1}
seconds=${SECONDS_EACH:-20}
program=${MEETMIND:-${CARGO_TARGET_DIR:-target}/release/meetmind}
if [ -z "${MEETMIND:-}" ]; then
    cargo build --release --workspace
fi
[ "$(nproc)" -ge 2 ] || { echo "needs two cores: one for the server, one for the load" >&2; exit 1; }

folder=$(mktemp -d)
livekit_pid=
stop_livekit() {
    if [ -n "$livekit_pid" ]; then
        kill "$livekit_pid" 2>/dev/null || true
        wait "$livekit_pid" 2>/dev/null || true
        livekit_pid=
    fi
}
trap 'stop_livekit; rm -rf "$folder"' EXIT

commit=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)
if [ -n "$(git status --porcelain 2>/dev/null)" ]; then
    commit+=" with changes"
fi
echo "commit $commit; command: SECONDS_EACH=$seconds bench/media.sh $*; server on CPU $server_cpus, load on CPU $load_cpus"

livekit=${LIVEKIT_SERVER:-$(command -v livekit-server || true)}
if [ -n "$livekit" ]; then
    echo "baseline: $("$livekit" --version 2>/dev/null || echo "$livekit")"
else
    echo "baseline: none; livekit-server is neither on PATH nor named by LIVEKIT_SERVER"
fi
key=load
secret=$(head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n')

# A server of its own for every measurement, so that memory begins at the same place.
start_livekit() {
    cat >"$folder/livekit.yaml" <<YAML
port: 17880
bind_addresses: [127.0.0.1]
rtc:
  udp_port: 17882
  tcp_port: 17881
  use_external_ip: false
  node_ip: 127.0.0.1
  enable_loopback_candidate: true
  stun_servers: ["127.0.0.1:9"]
keys:
  $key: $secret
logging:
  level: error
YAML
    taskset --cpu-list "$server_cpus" "$livekit" --config "$folder/livekit.yaml" >"$folder/livekit.log" 2>&1 &
    livekit_pid=$!
    for _ in $(seq 100); do
        if (exec 3<>/dev/tcp/127.0.0.1/17880) 2>/dev/null; then
            return
        fi
        sleep 0.1
    done
    cat "$folder/livekit.log" >&2
    exit 1
}

measure() { # name, kind, then arguments of the load
    local name=$1 kind=$2
    shift 2
    echo
    echo "## $name, $kind"
    local baseline=()
    if [ -n "$livekit" ]; then
        start_livekit
        # The measured process is taskset's, which became the server.
        taskset --cpu-list "$load_cpus" "$program" loadtest media --label livekit-server --url http://127.0.0.1:17880 \
            --api-key "$key" --api-secret "$secret" --server-pid "$livekit_pid" --seconds "$seconds" \
            --json "$folder/baseline.json" "--$kind" "$@" || echo "(the baseline had failures)"
        stop_livekit
        if [ -f "$folder/baseline.json" ]; then
            baseline=(--baseline "$folder/baseline.json")
        fi
    fi
    taskset --cpu-list "$load_cpus" "$program" loadtest media --server-cpus "$server_cpus" --server-threads 1 \
        --seconds "$seconds" "${baseline[@]}" "--$kind" "$@" || echo "(our run had failures)"
    rm -f "$folder/baseline.json"
}

for rooms in "${@:-2x2 10x10 1x200}"; do
    for room in $rooms; do
        for kind in audio video; do
            case $room in
                2x2) measure "2×2" "$kind" --publishers 2 ;;
                10x10) measure "10×10" "$kind" --publishers 10 ;;
                1x200) measure "1×200" "$kind" --publishers 1 --subscribers 200 ;;
                *) echo "no room $room: 2x2, 10x10 or 1x200" >&2; exit 1 ;;
            esac
        done
    done
done
