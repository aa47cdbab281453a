package xenback.block.nbd;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import xenback.fuzz.FuzzInput;

/** What a client sends while it negotiates, mostly valid. */
final class NbdBytes {
    static final String EXPORT = "disk";
    static final String READ_ONLY = "still";

    private NbdBytes() {}

    static void option(ByteArrayOutputStream out, int option, byte[] body) {
        option(out, NbdProtocol.IHAVEOPT, option, body.length, body);
    }

    static void option(ByteArrayOutputStream out, long magic, int option, int length, byte[] body) {
        out.writeBytes(ByteBuffer.allocate(16)
                .putLong(magic)
                .putInt(option)
                .putInt(length)
                .array());
        out.writeBytes(body);
    }

    /** The body of an option of that number, as the protocol has it but for a rare number or text. */
    static byte[] body(FuzzInput in, int option) {
        return switch (option) {
            case NbdProtocol.OPT_EXPORT_NAME -> text(name(in));
            case NbdProtocol.OPT_INFO, NbdProtocol.OPT_GO -> {
                byte[] name = text(name(in));
                int infos = in.below(5);
                ByteBuffer body = ByteBuffer.allocate(6 + name.length + 2 * infos);
                body.putInt(in.rarely() ? in.u32() : name.length).put(name);
                body.putShort((short) (in.rarely() ? in.u16() : infos));
                for (int i = 0; i < infos; i++) {
                    body.putShort((short) in.below(5));
                }
                yield body.array();
            }
            case NbdProtocol.OPT_LIST_META_CONTEXT, NbdProtocol.OPT_SET_META_CONTEXT -> {
                byte[] name = text(name(in));
                int queries = in.below(4);
                ByteBuffer body = ByteBuffer.allocate(8 + name.length + queries * 300);
                body.putInt(in.rarely() ? in.u32() : name.length).put(name);
                body.putInt(in.rarely() ? in.u32() : queries);
                for (int i = 0; i < queries; i++) {
                    byte[] query = text(in.flag() ? in.text(200) : in.flag() ? "base:" : "base:allocation");
                    query = query.length > 200 ? new byte[0] : query;
                    body.putInt(in.rarely() ? in.u32() : query.length).put(query);
                }
                byte[] whole = new byte[body.position()];
                body.get(0, whole);
                yield whole;
            }
            default -> in.rarely() ? in.bytes(in.u8()) : new byte[0];
        };
    }

    private static String name(FuzzInput in) {
        return switch (in.below(8)) {
            case 0, 1, 2, 3 -> EXPORT;
            case 4 -> READ_ONLY;
            case 5 -> "";
            default -> in.text(80);
        };
    }

    private static byte[] text(String text) {
        return text.getBytes(StandardCharsets.ISO_8859_1); // not always UTF-8, as it should be
    }
}
