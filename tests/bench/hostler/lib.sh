# Functions of the benchmarks of Hostler; sourced by tests/bench/run.

state=$(mktemp -d "${BENCH_DIR:-${TMPDIR:-/tmp}}/hostler-bench.XXXXXX")
results=$state/results.tsv
api_token=bench-$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
children=()
manager_pid=
url=
agents_at=
: >"$results"

# Ends what was started here, the youngest first, and nothing else.
stop_all() {
    local at
    for ((at = ${#children[@]} - 1; at >= 0; at--)); do
        stop "${children[at]}"
    done
    if [[ -n ${BENCH_KEEP:-} ]]; then echo "kept: $state" >&2; else rm -rf "$state"; fi
}

stop() { # PID
    local try
    kill -TERM "$1" 2>/dev/null || return 0
    for try in {1..200}; do
        kill -0 "$1" 2>/dev/null || break
        sleep 0.05
    done
    kill -KILL "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}

# Writes the configuration that `hostler up` would write.
write_config() { # DIR
    mkdir -p "$1/manager"
    cat >"$1/manager.toml" <<TOML
state_dir = "$1/manager"
[listen]
rest = "127.0.0.1:0"
agents = "127.0.0.1:0"
[[auth.static_tokens]]
name = "bench"
token_sha256 = "$(printf %s "$api_token" | sha256sum | cut -d' ' -f1)"
roles = ["admin"]
TOML
}

# Starts a manager on DIR and waits until it is ready; sets manager_pid, url and agents_at.
start_manager() { # DIR
    local listening=$1/manager/listening.json try
    rm -f "$listening"
    [[ -e $1/manager.toml ]] || write_config "$1"
    "$bin/hostler-manager" run --config "$1/manager.toml" >"$1/manager.log" 2>&1 &
    manager_pid=$!
    children+=("$manager_pid")
    for try in {1..200}; do
        if [[ -s $listening ]]; then
            url=http://$(jq -r .rest "$listening")
            agents_at=$(jq -r .agents "$listening")
            curl -sf --max-time 5 -o /dev/null "$url/readyz" && return 0
        fi
        kill -0 "$manager_pid" 2>/dev/null || break
        sleep 0.05
    done
    tail -5 "$1/manager.log" >&2
    return 1
}

api() { # METHOD PATH [BODY]
    curl -sf --max-time 30 -X "$1" -H "X-Auth-Token: $api_token" -H 'Content-Type: application/json' ${3:+-d "$3"} "$url$2"
}

join_token() { # USES
    api POST /api/join-tokens "{\"uses\": $1, \"expiresIn\": 3600}" | jq -r .token
}

# Notes one round of a figure; `table` shows the median of its rounds.
note() { # FIGURE TARGET VALUE
    printf '%s\t%s\t%s\n' "$1" "$2" "$3" >>"$results"
}

table() {
    printf '| figure | target | median | rounds |\n|---|---|---|---|\n'
    awk -F'\t' '
        !($1 in target) { order[++figures] = $1; target[$1] = $2 }
        { rounds[$1, ++count[$1]] = $3 }
        END {
            for (f = 1; f <= figures; f++) {
                name = order[f]; n = count[name]; shown = ""
                for (i = 1; i <= n; i++) { shown = shown (i > 1 ? ", " : "") rounds[name, i]; sorted[i] = rounds[name, i] + 0 }
                for (i = 2; i <= n; i++)
                    for (j = i; j > 1 && sorted[j] < sorted[j - 1]; j--) { t = sorted[j]; sorted[j] = sorted[j - 1]; sorted[j - 1] = t }
                m = int((n + 1) / 2)
                printf "| %s | %s | %s | %s |\n", name, target[name], sorted[m], (n > 1 ? shown : "")
            }
        }' "$results"
}
