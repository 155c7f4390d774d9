# The parts of the benchmarks; sourced by tests/bench/run after lib.sh.

# Many agents on a fresh manager: memory, connecting, introspecting all.
bench_swarm() {
    local dir=$state/swarm round out agents=${BENCH_AGENTS:-1000}
    mkdir -p "$dir"
    start_manager "$dir"
    out=$(timeout 600 "$bin/hostler-swarm" --json introspect --url "$url" --api-token "$api_token" --manager "$agents_at" \
        --token "$(join_token "$agents")" --agents "$agents" --state-dir "$dir/agents" --rounds "$rounds" --manager-pid "$manager_pid" \
        ${BENCH_DOCUMENT:+--document "$BENCH_DOCUMENT"})
    echo "$out" >"$dir/swarm.json"
    local get="jq -r"
    note "$agents agents: enrolled, connected and known, s" "" "$($get .all_connected_and_known_s <<<"$out")"
    for ((round = 1; round <= rounds; round++)); do
        note "$agents agents: all introspected, s" "<= 20" "$($get ".round${round}_s" <<<"$out")"
        note "$agents agents: manager's processor time for all, s" "" "$($get ".round${round}_manager_cpu_s" <<<"$out")"
        note "$agents agents: start to end of each, p50, ms" "" "$($get ".round${round}_each_p50_ms" <<<"$out")"
        note "$agents agents: start to end of each, p99, ms" "" "$($get ".round${round}_each_p99_ms" <<<"$out")"
        note "$agents agents: runs that failed" "0" "$($get ".round${round}_errors" <<<"$out")"
    done
    note "manager memory for each agent after all enrolled, KiB" "<= 100" "$($get .manager_connected_kib_per_agent <<<"$out")"
    note "manager memory for each agent after all rounds, KiB" "<= 100" "$($get .manager_rounds_kib_per_agent <<<"$out")"
    stop "$manager_pid"
    # A manager that has done nothing else, and the same agents come back to it.
    for ((round = 1; round <= rounds; round++)); do
        start_manager "$dir"
        out=$(timeout 300 "$bin/hostler-swarm" --json connect --hold 20 --url "$url" --api-token "$api_token" --manager "$agents_at" \
            --token "$(join_token 1)" --agents "$agents" --state-dir "$dir/agents" --manager-pid "$manager_pid")
        note "manager memory for each connected agent, KiB" "<= 100" "$($get .manager_held_kib_per_agent <<<"$out")"
        note "$agents agents: reconnected, s" "" "$($get .all_connected_s <<<"$out")"
        stop "$manager_pid"
    done
}

# On-CPU time of all threads of a process, in microseconds.
cpu_us() { # PID
    cat "/proc/$1"/task/*/schedstat | awk '{ ns += $1 } END { printf "%d\n", ns / 1000 }'
}

rss_kib() { # PID
    awk '$1 == "VmRSS:" { print $2 }' "/proc/$1/status"
}

# One real agent: what it costs while nothing happens, how fast it answers, what its binary weighs.
bench_agent() {
    local dir=$state/agent round pid try before
    mkdir -p "$dir"
    start_manager "$dir"
    "$bin/hostler-agent" join --manager "$agents_at" --token "$(join_token 1)" --state-dir "$dir/agent" --name bench-host 2>"$dir/join.log"
    "$bin/hostler-agent" run --state-dir "$dir/agent" >"$dir/agent.log" 2>&1 &
    pid=$!
    children+=("$pid")
    for try in {1..300}; do
        [[ $(api GET /v1/introspection/bench-host 2>/dev/null | jq -r .finished) == true ]] && break
        sleep 0.1
    done
    if [[ $(api GET /v1/introspection/bench-host | jq -r .error) == null ]]; then
        bench_latency
        bench_first_byte
    else
        echo "the agent's first introspection failed; its latency is not measured" >&2
    fi
    sleep 5
    for ((round = 1; round <= rounds; round++)); do
        before=$(cpu_us "$pid")
        sleep 30
        note "idle agent: processor time in 30 s, us" "none to speak of" "$(($(cpu_us "$pid") - before))"
        note "idle agent: resident, KiB" "<= 15360" "$(rss_kib "$pid")"
    done
    bench_large_output "$pid" "$dir"
    stop "$pid"
    stop "$manager_pid"
}

bench_latency() {
    local round out
    for ((round = 1; round <= rounds; round++)); do
        out=$(timeout 300 "$bin/hostler-swarm" --json latency --url "$url" --api-token "$api_token" --host bench-host --rounds 20)
        note "POST start to finished, real agent, p50, ms" "<= 500" "$(jq -r .start_to_finished_p50_ms <<<"$out")"
        note "POST start to finished, real agent, max, ms" "<= 500" "$(jq -r .start_to_finished_max_ms <<<"$out")"
    done
}

# A script that writes one byte, a thousand times one after the other.
bench_first_byte() {
    local round out
    for ((round = 1; round <= rounds; round++)); do
        out=$(timeout 300 "$bin/hostler-swarm" --json hosts --url "$url" --api-token "$api_token" --rounds 0 --singles 1000)
        note "POST execute to first byte, real agent, p50, ms" "<= 15" "$(jq -r .first_byte_p50_ms <<<"$out")"
        note "POST execute to first byte, real agent, p99, ms" "" "$(jq -r .first_byte_p99_ms <<<"$out")"
    done
}

peak_kib() { # PID
    awk '$1 == "VmHWM:" { print $2 }' "/proc/$1/status" 2>/dev/null
}

# A script that writes 2 GiB: by how much the agent grows, and how large the process gets that takes the output in.
bench_large_output() { # AGENT DIR
    local began before swarm supervisor peak own=0
    printf '#!/bin/sh\nhead -c 2G /dev/zero\n' >"$2/large.sh"
    # The peak counts anew from here.
    echo 5 >"/proc/$1/clear_refs"
    before=$(rss_kib "$1")
    began=$EPOCHREALTIME
    timeout 300 "$bin/hostler-swarm" --json hosts --url "$url" --api-token "$api_token" --rounds 1 --script "$2/large.sh" >"$2/large.json" &
    swarm=$!
    while kill -0 "$swarm" 2>/dev/null; do
        for supervisor in $(pgrep -f "^$bin/hostler-agent .*$2/agent" | grep -vx "$1"); do
            peak=$(peak_kib "$supervisor")
            ((${peak:-0} <= own)) || own=$peak
        done
        sleep 0.02
    done
    wait "$swarm"
    note "script that writes 2 GiB: s" "" "$(awk -v a="$began" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.2f", b - a }')"
    note "script that writes 2 GiB: growth of the agent, KiB" "<= 16384" "$(($(peak_kib "$1") - before))"
    note "script that writes 2 GiB: peak of its supervisor, KiB" "<= 16384" "$own"
}

bench_sizes() {
    local name
    for name in agent manager; do
        note "hostler-$name: binary, KiB" "$([[ $name == agent ]] && echo '<= 20480')" "$(($(stat -c %s "$bin/hostler-$name") / 1024))"
    done
}

# The list of 1000 out of many stored introspections.
bench_list() {
    local dir=$state/list round count out rows=${BENCH_ROWS:-10000}
    mkdir -p "$dir"
    # The schema is the manager's to make.
    start_manager "$dir"
    stop "$manager_pid"
    "$bin/hostler-swarm" fill --state-dir "$dir/manager" --count "$rows" >&2
    start_manager "$dir"
    local list=$url/v1/introspection?limit=1000
    local got
    got=$(api GET '/v1/introspection?limit=1000' | jq '.introspection | length')
    [[ $got == $((rows < 1000 ? rows : 1000)) ]] || { echo "the list has $got entries" >&2; return 1; }
    wrk -t1 -c4 -d2s -H "X-Auth-Token: $api_token" "$list" >/dev/null
    for ((round = 1; round <= rounds; round++)); do
        for count in 1 4 16; do
            out=$(wrk -t$((count > 1 ? 2 : 1)) -c"$count" -d"${duration}s" --timeout 30s --latency -H "X-Auth-Token: $api_token" "$list")
            note_wrk "list of 1000 of $rows, $count connections" "$out"
        done
    done
    note "manager after the list, resident KiB" "" "$(rss_kib "$manager_pid")"
    stop "$manager_pid"
}

note_wrk() { # FIGURE OUTPUT
    local rate p99 errors
    read -r rate p99 errors < <(awk '
        function ms(t) { return t ~ /us$/ ? t / 1000 : t ~ /ms$/ ? t + 0 : t ~ /m$/ ? t * 60000 : t * 1000 }
        $1 == "99%" { p99 = ms($2) }
        $1 == "Requests/sec:" { rate = $2 }
        /Socket errors/ { gsub(/[^0-9 ]/, ""); for (i = 1; i <= NF; i++) errors += $i }
        /Non-2xx/ { errors += $NF }
        END { print rate, p99, errors + 0 }' <<<"$2")
    note "$1: requests/s" "" "$rate"
    note "$1: p99, ms" "<= 20" "$p99"
    note "$1: errors" "0" "$errors"
}

# One script on many agents at once, and on one after the other.
bench_scripts() {
    local dir=$state/scripts round out agents=${BENCH_AGENTS:-1000}
    local get="jq -r"
    mkdir -p "$dir"
    start_manager "$dir"
    out=$(timeout 600 "$bin/hostler-swarm" --json scripts --url "$url" --api-token "$api_token" --manager "$agents_at" \
        --token "$(join_token "$agents")" --agents "$agents" --state-dir "$dir/agents" --rounds "$((rounds + 1))" --singles 1000 \
        --document-kib 6 --manager-pid "$manager_pid")
    # The first round also warms everything up.
    for ((round = 2; round <= rounds + 1; round++)); do
        note "script on $agents agents: all results durable, s" "<= 2" "$($get ".round${round}_s" <<<"$out")"
        note "script on $agents agents: accepted, s" "" "$($get ".round${round}_accepted_s" <<<"$out")"
        note "script on $agents agents: manager's processor time, s" "" "$($get ".round${round}_manager_cpu_s" <<<"$out")"
    done
    note "POST execute to first byte, one of $agents agents, p50, ms" "" "$($get .first_byte_p50_ms <<<"$out")"
    note "POST execute to first byte, one of $agents agents, p99, ms" "" "$($get .first_byte_p99_ms <<<"$out")"
    stop "$manager_pid"
}

# Maintenance of all hosts of a swarm: five steps each that change nothing, all hosts at once; then one host after the other, where what the
# manager needs between two steps is seen alone.
bench_sessions() {
    local dir=$state/sessions round out agents=${BENCH_AGENTS:-1000} few=20
    local get="jq -r"
    mkdir -p "$dir"
    start_manager "$dir"
    out=$(timeout 900 "$bin/hostler-swarm" --json sessions --url "$url" --api-token "$api_token" --manager "$agents_at" \
        --token "$(join_token "$agents")" --agents "$agents" --state-dir "$dir/agents" --rounds "$rounds" --document-kib 6 --manager-pid "$manager_pid")
    for ((round = 1; round <= rounds; round++)); do
        note "session over $agents hosts, 5 steps each: all durable, s" "<= 30" "$($get ".round${round}_s" <<<"$out")"
        note "session over $agents hosts: accepted, s" "" "$($get ".round${round}_accepted_s" <<<"$out")"
        note "session over $agents hosts: manager's processor time, s" "" "$($get ".round${round}_manager_cpu_s" <<<"$out")"
    done
    note "session over $agents hosts: manager's peak memory, KiB" "<= 204800" "$(peak_kib "$manager_pid")"
    stop "$manager_pid"
    mkdir -p "$dir/few"
    start_manager "$dir/few"
    out=$(timeout 900 "$bin/hostler-swarm" --json sessions --url "$url" --api-token "$api_token" --manager "$agents_at" \
        --token "$(join_token "$few")" --agents "$few" --state-dir "$dir/few/agents" --rounds 1 --singly --document-kib 6 --manager-pid "$manager_pid")
    note "one host after the other: from step to step, p50, ms" "<= 20" "$($get .singly_gap_p50_ms <<<"$out")"
    stop "$manager_pid"
}

# Plans for fleets that are nowhere but in memory.
bench_plan() {
    local round out
    out=$("$bin/hostler-swarm" --json plan --hosts 1000 --instances 10000 --rounds "$rounds")
    for ((round = 1; round <= rounds; round++)); do
        note "plan of 1000 hosts with 10000 instances in groups, s" "<= 2" "$(jq -r ".round${round}_s" <<<"$out")"
    done
}

# Pages of the list of many tasks that ended, in the usual orders and with the usual conditions.
bench_tasks() {
    local dir=$state/tasks out tasks=${BENCH_TASKS:-100000} name
    mkdir -p "$dir"
    # The schema is the manager's to make.
    start_manager "$dir"
    stop "$manager_pid"
    "$bin/hostler-swarm" fill --state-dir "$dir/manager" --count 0 --tasks "$tasks" >&2
    start_manager "$dir"
    out=$(timeout 600 "$bin/hostler-swarm" --json tasks --url "$url" --api-token "$api_token" --times 200)
    for name in $(jq -r 'keys_unsorted[] | select(endswith("_p99_ms")) | rtrimstr("_p99_ms")' <<<"$out"); do
        note "50 of $tasks tasks, $name: p50, ms" "" "$(jq -r ".${name}_p50_ms" <<<"$out")"
        note "50 of $tasks tasks, $name: p99, ms" "<= 50" "$(jq -r ".${name}_p99_ms" <<<"$out")"
    done
    stop "$manager_pid"
}
