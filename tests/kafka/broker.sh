#!/usr/bin/env bash
# Runs Apache Kafka from its published jars, for the tests and the examples: one broker on the loopback interface, until it is ended.
#
#   tests/kafka/broker.sh                     at 127.0.0.1:9092, data in a new temporary directory
#   tests/kafka/broker.sh PORT DIRECTORY      at that port, data in that directory, which a later run takes up again
#   tests/kafka/broker.sh --jars              only fetches what is needed, and says where it is
#
# The four ports after it are the controller's, that of logins without TLS (SASL/PLAIN, user tide, password gate), that of TLS, and that
# of logins with TLS (PLAIN and SCRAM-SHA-256). The certificate is made here: ca.pem in the directory is what clients trust, other.pem
# what they should not.
# Needs Java 17 and, the first time, Maven. What Maven brings is kept in a cache outside the clone.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
version=$(sed -n 's:.*<version>\(4\.[0-9.]*\)</version>.*:\1:p' "$here/pom.xml")
jars="${TIDEGATE_KAFKA_JARS:-${XDG_CACHE_HOME:-$HOME/.cache}/tidegate-ci/kafka-$version}"

fetch() {
  [ -f "$jars/complete" ] && return
  echo "fetching Apache Kafka $version into $jars" >&2
  mvn --batch-mode --quiet --file "$here/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
    -DoutputDirectory="$jars" -DincludeScope=runtime >&2
  touch "$jars/complete"
}

command -v java >/dev/null || { echo "broker.sh: needs java" >&2; exit 1; }
[ -f "$jars/complete" ] || command -v mvn >/dev/null || { echo "broker.sh: needs mvn" >&2; exit 1; }
fetch
if [ "${1:-}" = --jars ]; then
  echo "$jars"
  exit
fi

port=${1:-9092}
directory=${2:-$(mktemp -d)}
mkdir -p "$directory"
# A certificate of its own, and one of a stranger.
certificate() {
  [ -f "$directory/$2" ] && return
  keytool -genkeypair -alias "$1" -keyalg EC -groupname secp256r1 -validity 3650 -dname "CN=$1" -ext SAN=ip:127.0.0.1,dns:localhost \
    -ext bc:c -storetype PKCS12 -keystore "$directory/$1.p12" -storepass tidegate >/dev/null 2>&1
  keytool -exportcert -rfc -alias "$1" -keystore "$directory/$1.p12" -storepass tidegate >"$directory/$2.new" 2>/dev/null
  mv "$directory/$2.new" "$directory/$2"
}
certificate broker ca.pem
certificate stranger other.pem
login='org.apache.kafka.common.security.plain.PlainLoginModule required user_tide="gate";'
properties="$directory/server.properties"
cat >"$properties" <<END
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1)),SASL_PLAINTEXT://127.0.0.1:$((port + 2)),SSL://127.0.0.1:$((port + 3)),SASL_SSL://127.0.0.1:$((port + 4))
advertised.listeners=PLAINTEXT://127.0.0.1:$port,SASL_PLAINTEXT://127.0.0.1:$((port + 2)),SSL://127.0.0.1:$((port + 3)),SASL_SSL://127.0.0.1:$((port + 4))
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL
controller.quorum.voters=1@127.0.0.1:$((port + 1))
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256
listener.name.sasl_plaintext.sasl.enabled.mechanisms=PLAIN
listener.name.sasl_plaintext.plain.sasl.jaas.config=$login
listener.name.sasl_ssl.plain.sasl.jaas.config=$login
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
ssl.keystore.type=PKCS12
ssl.keystore.location=$directory/broker.p12
ssl.keystore.password=tidegate
log.dirs=$directory/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
group.initial.rebalance.delay.ms=0
END
cat >"$directory/log4j2.yaml" <<END
Configuration:
  Appenders:
    Console: {name: out, target: SYSTEM_OUT, PatternLayout: {pattern: "%d %p %m (%c)%n"}}
  Loggers:
    Root: {level: WARN, AppenderRef: {ref: out}}
END
# Small, and quick to start rather than fast for long.
run=(java -Xms128m -Xmx512m -XX:TieredStopAtLevel=1 "-Dlog4j2.configurationFile=$directory/log4j2.yaml" -cp "$jars/*")
if [ ! -f "$directory/data/meta.properties" ]; then
  "${run[@]}" kafka.tools.StorageTool format --config "$properties" --cluster-id dGlkZWdhdGUtdGVzdHMtMQ \
    --add-scram 'SCRAM-SHA-256=[name=tide,password=gate]' >/dev/null
fi
exec "${run[@]}" kafka.Kafka "$properties"
