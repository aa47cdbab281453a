package xenback.xen.store.wire;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/**
 * One message, in either direction. The body's octets are the chars of an ISO-8859-1 string, so nothing is lost.
 *
 * <pre>
 *   0        4        8        12       16
 *   +--------+--------+--------+--------+------------------+
 *   |  type  | req_id | tx_id  |  len   |  len bytes, body |    io/xs_wire.h, native byte order
 *   +--------+--------+--------+--------+------------------+
 * </pre>
 *
 * @param requestId chosen by who asks, repeated in the answer; 0 in an event
 * @param transactionId 0 outside of transactions
 * @param body at most {@link #MAX_BODY_BYTES} chars, all below 256
 */
public record StoreMessage(MessageType type, int requestId, int transactionId, String body) {
    public static final int HEADER_BYTES = 16;

    /** XENSTORE_PAYLOAD_MAX: a daemon drops who sends more. */
    public static final int MAX_BODY_BYTES = 4096;

    public static final int MAX_BYTES = HEADER_BYTES + MAX_BODY_BYTES;

    private static final int LENGTH_OFFSET = 12;

    public StoreMessage {
        if (body.length() > MAX_BODY_BYTES) {
            throw new IllegalArgumentException("body of " + body.length() + " bytes");
        }
    }

    /**
     * Bytes of the message at the buffer's position, whose order is native. 0 while its header is incomplete, -1 if its
     * length is out of bounds, after which nothing in the stream can be trusted. The position stays.
     */
    public static int sizeBytes(ByteBuffer in) {
        if (in.remaining() < HEADER_BYTES) {
            return 0;
        }
        int length = in.getInt(in.position() + LENGTH_OFFSET);
        return length < 0 || length > MAX_BODY_BYTES ? -1 : HEADER_BYTES + length;
    }

    /** Takes one message off the buffer, which holds all {@link #sizeBytes} of it. */
    public static StoreMessage decode(ByteBuffer in) {
        MessageType type = MessageType.of(in.getInt());
        int requestId = in.getInt();
        int transactionId = in.getInt();
        byte[] body = new byte[in.getInt()];
        in.get(body);
        return new StoreMessage(type, requestId, transactionId, new String(body, StandardCharsets.ISO_8859_1));
    }

    /** Puts the message into the buffer, whose order is native. */
    public void encode(ByteBuffer out) {
        out.putInt(type.number());
        out.putInt(requestId);
        out.putInt(transactionId);
        out.putInt(body.length());
        out.put(body.getBytes(StandardCharsets.ISO_8859_1));
    }

    /** A body of strings, each with its NUL. */
    public static String strings(String... parts) {
        return strings(List.of(parts));
    }

    /** A body of strings, each with its NUL. */
    public static String strings(List<String> parts) {
        StringBuilder body = new StringBuilder();
        for (String part : parts) {
            body.append(part).append('\0');
        }
        return body.toString();
    }

    /** The strings of a body: each ends at its NUL, or at the end of the body if the last NUL was left out. */
    public static List<String> parts(String body) {
        List<String> parts = new ArrayList<>();
        int start = 0;
        while (start < body.length()) {
            int end = body.indexOf('\0', start);
            if (end < 0) {
                end = body.length();
            }
            parts.add(body.substring(start, end));
            start = end + 1;
        }
        return parts;
    }
}
