#!/usr/bin/env bash
# Runs Apache Kafka from its published jars, for the tests and the examples: one broker on the loopback interface, until it is ended.
#
#   tests/kafka/broker.sh                     at 127.0.0.1:9092, data in a new temporary directory
#   tests/kafka/broker.sh PORT DIRECTORY      at that port, data in that directory, which a later run takes up again
#   tests/kafka/broker.sh --jars              only fetches what is needed, and says where it is
#
# The next port is the controller's, and the one after it takes logins (SASL/PLAIN without TLS, user tide, password gate).
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
properties="$directory/server.properties"
cat >"$properties" <<END
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1)),SASL_PLAINTEXT://127.0.0.1:$((port + 2))
advertised.listeners=PLAINTEXT://127.0.0.1:$port,SASL_PLAINTEXT://127.0.0.1:$((port + 2))
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT
controller.quorum.voters=1@127.0.0.1:$((port + 1))
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_tide="gate";
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
  "${run[@]}" kafka.tools.StorageTool format --config "$properties" --cluster-id dGlkZWdhdGUtdGVzdHMtMQ >/dev/null
fi
exec "${run[@]}" kafka.Kafka "$properties"
