# shellcheck shell=bash disable=SC2034,SC2154
# Part of scripts/kafka: the settings of a cluster: its ports, its server.properties, its certificates.

# ---------- ports ----------

port_of() {                                      # port_of LISTENER I
  local k
  for k in "${!LISTENERS[@]}"; do
    [[ ${LISTENERS[k]} != "$1" ]] || { echo $((PORT + 3 * k + $2 - 1)); return; }
  done
  die "no listener is called $1 (there are: ${LISTENERS[*]})"
}

addresses() {                                    # addresses LISTENER: of all brokers, with commas
  local i list=
  for ((i = 1; i <= BROKERS; i++)); do list+=,$HOST:$(port_of "$1" "$i"); done
  echo "${list#,}"
}

taken_ports() {                                  # every TCP port somebody listens on, in hex, between spaces
  awk '$4 == "0A" { n = split($2, a, ":"); printf " %s ", a[n] }' /proc/net/tcp /proc/net/tcp6 2>/dev/null || :
}

block_is_free() {                                # block_is_free P TAKEN
  local p hex
  for ((p = $1; p < $1 + PORTS_PER_CLUSTER; p++)); do
    printf -v hex %04X "$p"
    [[ $2 != *" $hex "* ]] || return 1
  done
}

# Ports outside the kernel's range for outgoing connections, claimed by a file that names the cluster: two clusters that
# start at once don't meet, and a cluster whose brokers are all killed still has its ports when they start again.
claim_ports() (
  claims=$CACHE/ports
  mkdir -p "$claims"
  exec 9>"$claims/lock"
  flock 9
  taken=$(taken_ports)
  for ((n = RANDOM; n < 65536; n++)); do
    p=$((10000 + n % 1000 * 20))
    [[ ! -e $claims/$p ]] || [[ ! -d $(<"$claims/$p") ]] || continue
    block_is_free "$p" "$taken" || continue
    echo "$DIR" >"$claims/$p"
    echo "$p"
    return
  done
  die "no free ports between 10000 and 30000"
)

forget_ports() { [[ ! -e $CACHE/ports/${PORT:-} || $(<"$CACHE/ports/$PORT") != "$DIR" ]] || rm -f "$CACHE/ports/$PORT"; }

# ---------- settings of a cluster: D/cluster, D/broker-config ----------

BROKERS=1 PORT=9092 HOST=127.0.0.1 TLS='' PROXY_PORT='' HEAP=512m CLASSES=''

load() {                                         # the settings of the cluster in D; false if there is none
  DIR=$(realpath -m "$DIR")
  [[ -e $DIR/cluster ]] || return 1
  # shellcheck source=/dev/null
  . "$DIR/cluster"
}
need_cluster() { load || die "there is no cluster in $DIR (scripts/kafka start --dir $DIR makes one)"; }

value() { [[ $# -ge 2 ]] || die "$1 needs a value"; echo "$2"; }

parse_start_options() {
  local had='' extra=() brokers=''
  if load; then had=$BROKERS; fi
  [[ -z $had || $# -eq 0 || -z $(running) ]] || die "the cluster in $DIR runs; stop it first to change its settings"
  while (($#)); do
    case $1 in
      --tls) TLS=yes; shift; continue ;;
      --ipv6) HOST='[::1]'; shift; continue ;;
      --brokers) brokers=$(value "$@") ;;
      --port) [[ -n $had && ${2:-} == 0 ]] || PORT=$(value "$@") ;;
      --proxy-port) PROXY_PORT=$(value "$@") ;;
      --heap) HEAP=$(value "$@") ;;
      --classpath) CLASSES=$(realpath "$(value "$@")") ;;
      --broker-config) extra+=("$(value "$@")") ;;
      *) die "start does not know $1" ;;
    esac
    shift 2
  done
  BROKERS=${brokers:-$BROKERS}
  [[ $BROKERS == [13] ]] || die "--brokers takes 1 or 3"
  [[ $PORT =~ ^[0-9]+$ && $PORT -lt 65500 ]] || die "--port takes a number below 65500"
  [[ -z $had || $had == "$BROKERS" ]] || die "$DIR holds a cluster of $had brokers; stop --wipe it first"
  mkdir -p "$DIR"
  [[ $PORT != 0 ]] || PORT=$(claim_ports)
  printf '%s=%q\n' BROKERS "$BROKERS" PORT "$PORT" HOST "$HOST" TLS "$TLS" PROXY_PORT "$PROXY_PORT" HEAP "$HEAP" CLASSES "$CLASSES" >"$DIR/cluster"
  if ((${#extra[@]})); then printf '%s\n' "${extra[@]}" >"$DIR/broker-config"; fi
}

write_properties() {                             # the server.properties of broker I
  local i=$1 voters='' j names=(PLAINTEXT) name listen='' public=''
  local copies=$BROKERS in_sync=$((BROKERS == 3 ? 2 : 1))
  for ((j = 1; j <= BROKERS; j++)); do voters+=,$j@$HOST:$(port_of CONTROLLER "$j"); done
  [[ -z $TLS ]] || names+=(SSL SASL_SSL)
  [[ -z $PROXY_PORT ]] || names+=(PROXIED)
  for name in "${names[@]}"; do
    listen+=,$name://$HOST:$(port_of "$name" "$i")
    if [[ $name == PROXIED ]]; then public+=,PROXIED://$HOST:$((PROXY_PORT + i - 1))
    else public+=,$name://$HOST:$(port_of "$name" "$i"); fi
  done
  cat <<PROPERTIES
process.roles=broker,controller
node.id=$i
controller.quorum.voters=${voters#,}
controller.listener.names=CONTROLLER
listeners=${listen#,},CONTROLLER://$HOST:$(port_of CONTROLLER "$i")
advertised.listeners=${public#,}
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL
log.dirs=$DIR/$i/data
auto.create.topics.enable=false
default.replication.factor=$copies
min.insync.replicas=$in_sync
offsets.topic.replication.factor=$copies
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=$copies
transaction.state.log.min.isr=$in_sync
transaction.state.log.num.partitions=8
share.coordinator.state.topic.replication.factor=$copies
share.coordinator.state.topic.min.isr=$in_sync
group.initial.rebalance.delay.ms=0
PROPERTIES
  [[ -z $TLS ]] || write_tls_properties
  [[ ! -e $DIR/broker-config ]] || cat "$DIR/broker-config"
}

write_tls_properties() {
  local jaas=org.apache.kafka.common.security
  cat <<PROPERTIES
ssl.keystore.type=PEM
ssl.keystore.location=$DIR/tls/broker.pem
ssl.truststore.type=PEM
ssl.truststore.location=$DIR/tls/ca.crt
ssl.client.auth=requested
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256
listener.name.sasl_ssl.plain.sasl.jaas.config=$jaas.plain.PlainLoginModule required user_alice="alice-secret";
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config=$jaas.scram.ScramLoginModule required;
PROPERTIES
}

# A certificate authority, one certificate for the brokers, one for a client, and settings for Kafka's own tools.
make_certificates() (
  command -v openssl >/dev/null || die "openssl not found: --tls needs it"
  [[ ! -e $DIR/tls/sasl.properties ]] || exit 0
  mkdir -p "$DIR/tls"
  cd "$DIR/tls"
  exec 2>openssl.log
  openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj "/CN=streamgauge test authority" -keyout ca.key -out ca.crt
  for name in broker client; do
    openssl req -newkey rsa:2048 -nodes -subj "/CN=$name" -keyout $name.key -out $name.csr
    openssl x509 -req -in $name.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 3650 -out $name.crt \
      -extfile <(echo "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1")
    cat $name.key $name.crt >$name.pem
  done
  printf '%s\n' security.protocol=SSL ssl.truststore.type=PEM "ssl.truststore.location=$PWD/ca.crt" >ssl.properties
  { sed s/=SSL/=SASL_SSL/ ssl.properties
    echo sasl.mechanism=SCRAM-SHA-256
    echo 'sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username="alice" password="alice-secret";'
  } >sasl.properties
)
