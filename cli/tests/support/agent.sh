#!/bin/sh
# Stands in for hostler-agent: enrols by writing its identity, then runs until SIGTERM or the end of standard input.
command=$1
shift
while [ $# -gt 0 ]; do
    case $1 in
    --state-dir) dir=$2; shift ;;
    --name) name=$2; shift ;;
    --manager) manager=$2; shift ;;
    --token) token=$2; shift ;;
    --exit-with-parent) watch=yes ;;
    esac
    shift
done
case $command in
join)
    mkdir -p "$dir" || exit 1
    echo "joined $name at $manager with $token"
    echo "{\"name\": \"$name\"}" >"$dir/identity.json"
    ;;
run)
    [ "$watch" = yes ] || { echo "no --exit-with-parent"; exit 2; }
    trap 'rm -f "$dir/running"; echo orderly end; kill $reader; exit 0' TERM
    echo "managers $HOSTLER_AGENT_MANAGERS"
    exec 3<&0
    cat <&3 >/dev/null &
    reader=$!
    echo $$ >"$dir/running.new" && mv "$dir/running.new" "$dir/running"
    wait $reader
    rm -f "$dir/running"
    echo end of input
    ;;
esac
