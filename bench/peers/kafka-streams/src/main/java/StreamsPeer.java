import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StoreQueryParameters;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.InvalidStateStoreException;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KGroupedStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.QueryableStoreTypes;
import org.apache.kafka.streams.state.WindowStore;

/**
 * Counts a topic of requests keyed by endpoint until its stores hold all of them; prints one line of JSON.
 * Arguments: bootstrap servers, topic, events, state directory, processing guarantee.
 */
public final class StreamsPeer {
    private static final Duration MINUTE = Duration.ofMinutes(1);
    /** Partitions catch up at different speeds, so what comes through the topic between is out of order. */
    private static final Duration GRACE = Duration.ofHours(1);
    private static final AtomicLong firstEvent = new AtomicLong();

    private static Topology topology(String topic) {
        StreamsBuilder builder = new StreamsBuilder();
        var requests = builder.stream(topic, Consumed.with(Serdes.String(), Request.json())
            .withTimestampExtractor((record, ignored) -> ((Request) record.value()).timestamp()));
        aggregate(requests.groupByKey(), "http");
        var byEndpoint = TimeWindows.ofSizeAndGrace(MINUTE.multipliedBy(5), GRACE).advanceBy(MINUTE);
        requests.groupByKey().windowedBy(byEndpoint)
            .aggregate(Stats::new, (key, request, stats) -> stats.add(request, true),
                Materialized.<String, Stats, WindowStore<Bytes, byte[]>>as("http-5m").withKeySerde(Serdes.String()).withValueSerde(Stats.serde()));
        var byRegion = requests.peek((key, request) -> firstEvent.compareAndSet(0, System.nanoTime()))
            .selectKey((key, request) -> request.region())
            .groupByKey(Grouped.with("by-region", Serdes.String(), Request.compact()));
        aggregate(byRegion, "region");
        return builder.build();
    }

    /** All time, and each minute. */
    private static void aggregate(KGroupedStream<String, Request> requests, String name) {
        requests.aggregate(Stats::new, (key, request, stats) -> stats.add(request, false),
            Materialized.<String, Stats, KeyValueStore<Bytes, byte[]>>as(name + "-total").withKeySerde(Serdes.String()).withValueSerde(Stats.serde()));
        requests.windowedBy(TimeWindows.ofSizeAndGrace(MINUTE, GRACE))
            .aggregate(Stats::new, (key, request, stats) -> stats.add(request, false),
                Materialized.<String, Stats, WindowStore<Bytes, byte[]>>as(name + "-1m").withKeySerde(Serdes.String()).withValueSerde(Stats.serde()));
    }

    public static void main(String[] args) throws Exception {
        String topic = args[1];
        long events = Long.parseLong(args[2]);
        Properties properties = new Properties();
        properties.put("bootstrap.servers", args[0]);
        properties.put("application.id", "streams-peer-" + ProcessHandle.current().pid());
        properties.put("state.dir", args[3]);
        properties.put("processing.guarantee", args[4]);
        properties.put("num.stream.threads", "1");
        properties.put("auto.offset.reset", "earliest");
        KafkaStreams streams = new KafkaStreams(topology(topic), properties);
        CountDownLatch running = new CountDownLatch(1);
        streams.setStateListener((now, before) -> {
            if (now == KafkaStreams.State.RUNNING) running.countDown();
            if (now == KafkaStreams.State.ERROR) Runtime.getRuntime().halt(1);
        });
        streams.start();
        running.await();
        // Looking costs CPU, so it is done seldom: what is measured is off by a quarter of a second at most.
        while (counted(streams, "http-total") < events || counted(streams, "region-total") < events) Thread.sleep(250);
        double seconds = (System.nanoTime() - firstEvent.get()) / 1e9;
        var system = (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        double cpu = system.getProcessCpuTime() / 1e9;
        System.out.printf(java.util.Locale.ROOT, "{\"what\": \"kafka_streams\", \"events\": %d, \"seconds\": %.3f, \"events_per_s\": %.0f, "
            + "\"cpu_s\": %.2f, \"events_per_cpu_s\": %.0f, \"peak_mb\": %.1f}%n", events, seconds, events / seconds, cpu, events / cpu, peakMegabytes());
        System.out.flush();
        Runtime.getRuntime().halt(0);
    }

    private static long counted(KafkaStreams streams, String name) {
        try (var all = streams.store(StoreQueryParameters.fromNameAndType(name, QueryableStoreTypes.<String, Stats>keyValueStore())).all()) {
            long sum = 0;
            while (all.hasNext()) sum += all.next().value.requests;
            return sum;
        } catch (InvalidStateStoreException rebalancing) {
            return 0;
        }
    }

    private static double peakMegabytes() throws Exception {
        for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
            if (line.startsWith("VmHWM:")) return Long.parseLong(line.replaceAll("\\D", "")) / 1024.0;
        }
        throw new IllegalStateException("no VmHWM in /proc/self/status");
    }
}
