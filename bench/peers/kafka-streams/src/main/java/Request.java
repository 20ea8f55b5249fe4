import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;

/** The fields of an event that the aggregates ask for, by Jackson's streaming parser: the cheapest usual way in Java. */
record Request(long timestamp, String endpoint, int status, double responseTimeMs, String region) {
    private static final JsonFactory JSON = new JsonFactory();

    static Serde<Request> json() {
        return Serdes.serdeFrom((topic, request) -> { throw new UnsupportedOperationException(); }, (topic, bytes) -> parse(bytes));
    }

    /** What the aggregates by region need, for the topic between. */
    static Serde<Request> compact() {
        return Serdes.serdeFrom(
            (topic, r) -> r == null ? null : ByteBuffer.allocate(20).putLong(r.timestamp).putInt(r.status).putDouble(r.responseTimeMs).array(),
            (topic, bytes) -> {
                if (bytes == null) return null;
                ByteBuffer in = ByteBuffer.wrap(bytes);
                return new Request(in.getLong(), null, in.getInt(), in.getDouble(), null);
            });
    }

    private static Request parse(byte[] bytes) {
        long timestamp = 0;
        String endpoint = null, region = null;
        int status = 0;
        double responseTime = 0;
        try (JsonParser parser = JSON.createParser(bytes)) {
            parser.nextToken();
            while (parser.nextToken() == JsonToken.FIELD_NAME) {
                String field = parser.currentName();
                parser.nextToken();
                switch (field) {
                    case "timestamp": timestamp = parser.getLongValue(); break;
                    case "endpoint": endpoint = parser.getText(); break;
                    case "status": status = parser.getIntValue(); break;
                    case "response_time_ms": responseTime = parser.getDoubleValue(); break;
                    case "region": region = parser.getText(); break;
                    default: parser.skipChildren();
                }
            }
        } catch (IOException malformed) {
            throw new UncheckedIOException(malformed);
        }
        return new Request(timestamp, endpoint, status, responseTime, region);
    }
}
