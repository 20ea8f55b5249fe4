import java.nio.ByteBuffer;
import java.util.Map;
import java.util.TreeMap;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;

/** What one key has measured: requests, errors, response times in 16 buckets to the power of two, requests by status. */
final class Stats {
    private static final int BUCKETS_PER_DOUBLING = 16, BUCKETS = 160;

    long requests, errors;
    private double sum, min = Double.MAX_VALUE, max;
    private final int[] buckets = new int[BUCKETS];
    private final Map<Integer, Long> byStatus = new TreeMap<>();

    Stats add(Request request, boolean statuses) {
        requests++;
        if (request.status() >= 400) errors++;
        double ms = request.responseTimeMs();
        sum += ms;
        min = Math.min(min, ms);
        max = Math.max(max, ms);
        double doublings = Math.log(Math.max(ms, 1)) / Math.log(2);
        buckets[Math.min((int) (doublings * BUCKETS_PER_DOUBLING), BUCKETS - 1)]++;
        if (statuses) byStatus.merge(request.status(), 1L, Long::sum);
        return this;
    }

    static Serde<Stats> serde() {
        return Serdes.serdeFrom((topic, stats) -> stats == null ? null : stats.write(), (topic, bytes) -> bytes == null ? null : read(bytes));
    }

    private byte[] write() {
        int used = 0;
        for (int bucket : buckets) if (bucket > 0) used++;
        ByteBuffer out = ByteBuffer.allocate(44 + used * 6 + byStatus.size() * 12);
        out.putLong(requests).putLong(errors).putDouble(sum).putDouble(min).putDouble(max).putInt(used);
        for (int i = 0; i < BUCKETS; i++) if (buckets[i] > 0) out.putShort((short) i).putInt(buckets[i]);
        byStatus.forEach((status, count) -> out.putInt(status).putLong(count));
        return out.array();
    }

    private static Stats read(byte[] bytes) {
        ByteBuffer in = ByteBuffer.wrap(bytes);
        Stats stats = new Stats();
        stats.requests = in.getLong();
        stats.errors = in.getLong();
        stats.sum = in.getDouble();
        stats.min = in.getDouble();
        stats.max = in.getDouble();
        for (int used = in.getInt(); used > 0; used--) stats.buckets[in.getShort()] = in.getInt();
        while (in.hasRemaining()) stats.byStatus.put(in.getInt(), in.getLong());
        return stats;
    }
}
