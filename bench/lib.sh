# What the benchmarks share: a broker of their own, the example's config for a group of its own, the machine's line.

events_topic() { # events_topic NAME EVENTS [ARGS...]: preloads a topic
  local name=$1 count=$2; shift 2
  echo "preloading $count events into $name" >&2
  "$agent" produce --bootstrap-servers "$servers" --topic "$name" --partitions 12 --rate max --count "$count" --json "$@" >&2
}

start_kafka() { # sets $servers; stops and wipes the broker at the script's end
  scripts/kafka start --dir "$dir/kafka" --port 0 >/dev/null
  servers=$(scripts/kafka bootstrap --dir "$dir/kafka")
  trap 'kill $(jobs -p) 2>/dev/null || :; wait; scripts/kafka stop --dir "$dir/kafka" --wipe >/dev/null' EXIT
}

free_port() { # two free ports would race; the agent says so if one is taken
  while :; do
    local p=$((20000 + RANDOM % 12000))
    (exec 3<>"/dev/tcp/127.0.0.1/$p") 2>/dev/null || { echo "$p"; return; }
  done
}

config() { # config GROUP [GUARANTEE [INTERVAL]]: the example's aggregates under a group of its own; prints the file's path
  {
    sed -e "s|bootstrap_servers: .*|bootstrap_servers: $servers|" -e "s|group_id: .*|group_id: $1|" -e '/^state:/,$d' \
      examples/http-requests.yaml
    service "$1" "${2:-exactly_once}" "${3:-100ms}"
  } >"$dir/$1.yaml"
  echo "$dir/$1.yaml"
}

service() { # service GROUP GUARANTEE [INTERVAL]: the end of a config
  cat <<Y
state: { dir: "$dir/state-$1", processing_guarantee: $2, commit_interval: ${3:-100ms} }
http: { listen: "127.0.0.1:$(free_port)" }
grpc: { listen: "127.0.0.1:$(free_port)" }
Y
}

machine() { # the line under a table
  echo "$(nproc) cores, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), load before $load;" \
    "$(rustc --version | cut -d' ' -f1,2), Kafka $(scripts/kafka 2>&1 | grep -om1 "Kafka [0-9.]*" | cut -d' ' -f2)."
}

load=$(cut -d' ' -f1 /proc/loadavg)
# STREAMGAUGE_BENCH_AGENT: the binary of another build, to compare with; what drives it is this one's.
agent=${STREAMGAUGE_BENCH_AGENT:-target/release/streamgauge} bench=${STREAMGAUGE_BENCH:-target/release/examples/bench}
[[ -n ${STREAMGAUGE_BENCH_AS_BUILT:-} ]] || cargo build --release -p streamgauge --bin streamgauge --example bench # set it to measure what is there
