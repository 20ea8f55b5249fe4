# shellcheck shell=bash disable=SC2034,SC2154
# Part of scripts/kafka: fetching Apache Kafka from Maven Central, once, into $HOUSE.

need_java() {
  local major
  command -v "$JAVA" >/dev/null || die "java not found: install a JDK, version 17 or later"
  major=$("$JAVA" -version 2>&1 | sed -nE 's/.* version "([0-9]+).*/\1/p' | head -1)
  [[ ${major:-0} -ge 17 ]] || die "java is version ${major:-unknown}: Kafka needs 17 or later (JAVA_HOME chooses another)"
}

install() {
  need_java
  [[ -e $HOUSE/complete ]] && return
  mkdir -p "$CACHE"
  (
    flock 9                                      # two first starts at once: the second waits for the first
    [[ -e $HOUSE/complete ]] || { fetch_jars && archive_classes && touch "$HOUSE/complete"; }
  ) 9>"$HOUSE.lock"
}

fetch_jars() {
  local log=$HOUSE.maven.log
  command -v mvn >/dev/null || die "mvn not found: install Apache Maven, which fetches Kafka $VERSION"
  echo "fetching Apache Kafka $VERSION into $HOUSE" >&2
  rm -rf "$HOUSE"
  mkdir -p "$HOUSE"
  write_pom >"$HOUSE/pom.xml"
  write_log4j >"$HOUSE/log4j2.properties"
  mvn -B -q -Dstyle.color=never -f "$HOUSE/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$HOUSE/libs" </dev/null >"$log" 2>&1 9>&- ||
    die "Maven could not fetch Kafka $VERSION: $(grep -m1 ERROR "$log" | cut -c9-240) ($log)"
}

write_pom() {
  # The tools bring Kafka Connect and its web server along, which nobody here runs.
  cat <<'POM' | sed "s/@VERSION@/$VERSION/; s/@LOG4J@/$LOG4J_VERSION/"
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>streamgauge</groupId><artifactId>kafka-for-tests</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>@VERSION@</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>@VERSION@</version>
      <exclusions>
        <exclusion><groupId>org.apache.kafka</groupId><artifactId>connect-runtime</artifactId></exclusion>
        <exclusion><groupId>com.fasterxml.jackson.jakarta.rs</groupId><artifactId>*</artifactId></exclusion>
      </exclusions>
    </dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>@LOG4J@</version></dependency>
  </dependencies>
</project>
POM
}

write_log4j() {
  cat <<'LOG4J'
rootLogger.level = ${sys:level:-WARN}
rootLogger.appenderRef.err.ref = err
appender.err.type = Console
appender.err.name = err
appender.err.target = SYSTEM_ERR
appender.err.layout.type = PatternLayout
appender.err.layout.pattern = %d{ISO8601} %-5p %c{1} %m%n
LOG4J
}

# A broker that writes down which classes it loaded makes every later start about a third of the CPU cheaper.
archive_classes() {
  local scratch
  scratch=$(mktemp -d "$CACHE/archive.XXXXXX")
  echo "preparing fast starts (once)" >&2
  (
    DIR=$scratch/cluster ARCHIVE_TO=$scratch/classes.jsa
    trap 'end_all KILL; forget_ports; rm -rf "$scratch"' EXIT
    start --port 0 && tool topics --create --topic warm-up && end_all TERM && mv "$ARCHIVE_TO" "$HOUSE/classes.jsa"
  ) >"$HOUSE/archive.log" 2>&1 9>&- || echo "scripts/kafka: no class archive; starts will be slower ($HOUSE/archive.log)" >&2
}
