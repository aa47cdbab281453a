package xenback.xen.store.wire;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** The bytes of a message, against Xen's io/xs_wire.h. */
class StoreMessageTest {
    @Test
    void numbersTypesAsTheHeaderDoes() {
        Map<MessageType, Integer> header = Map.ofEntries(
                Map.entry(MessageType.CONTROL, 0),
                Map.entry(MessageType.READ, 2),
                Map.entry(MessageType.WATCH, 4),
                Map.entry(MessageType.TRANSACTION_END, 7),
                Map.entry(MessageType.GET_DOMAIN_PATH, 10),
                Map.entry(MessageType.WRITE, 11),
                Map.entry(MessageType.SET_PERMS, 14),
                Map.entry(MessageType.WATCH_EVENT, 15),
                Map.entry(MessageType.ERROR, 16),
                Map.entry(MessageType.RESUME, 18),
                Map.entry(MessageType.RESET_WATCHES, 21),
                Map.entry(MessageType.DIRECTORY_PART, 22));
        header.forEach(
                (type, number) -> assertThat(type.number()).as(type.name()).isEqualTo(number));
        for (int number = 0; number <= 22; number++) {
            assertThat(MessageType.of(number).number()).isEqualTo(number);
        }
    }

    @Test
    void takesNumbersWithoutANameAsUnknown() {
        for (int number : new int[] {-1, 23, 24, 1000, Integer.MIN_VALUE, Integer.MAX_VALUE}) {
            assertThat(MessageType.of(number)).isEqualTo(MessageType.UNKNOWN);
        }
    }

    @Test
    void putsEachFieldAtItsOffset() {
        ByteBuffer out = buffer(64);
        new StoreMessage(MessageType.WRITE, 0x01020304, 0x05060708, "/a\0\u00ff").encode(out);

        assertThat(out.position()).isEqualTo(20);
        assertThat(out.getInt(0)).isEqualTo(11);
        assertThat(out.getInt(4)).isEqualTo(0x01020304);
        assertThat(out.getInt(8)).isEqualTo(0x05060708);
        assertThat(out.getInt(12)).isEqualTo(4);
        assertThat(new byte[] {out.get(16), out.get(17), out.get(18), out.get(19)})
                .containsExactly('/', 'a', 0, 0xFF);
    }

    @Test
    void bringsBackEveryOctet() {
        StringBuilder octets = new StringBuilder();
        for (int i = 0; i < 256; i++) {
            octets.append((char) i);
        }
        StoreMessage message = new StoreMessage(MessageType.READ, -1, 7, octets.toString());
        ByteBuffer out = buffer(StoreMessage.MAX_BYTES);
        message.encode(out);

        assertThat(StoreMessage.decode(out.flip())).isEqualTo(message);
        assertThat(out.hasRemaining()).isFalse();
    }

    @Test
    void knowsNoSizeWhileTheHeaderIsIncomplete() {
        for (int bytes = 0; bytes < StoreMessage.HEADER_BYTES; bytes++) {
            assertThat(StoreMessage.sizeBytes(buffer(bytes))).isZero();
        }
    }

    @Test
    void readsTheSizeAtThePositionAndLeavesIt() {
        ByteBuffer in = buffer(64).position(8);
        in.putInt(8 + 12, 4096);

        assertThat(StoreMessage.sizeBytes(in)).isEqualTo(16 + 4096);
        assertThat(in.position()).isEqualTo(8);
    }

    @Test
    void rejectsLengthsPastThePayloadLimit() {
        for (int length : new int[] {4097, 65536, Integer.MAX_VALUE, -1, Integer.MIN_VALUE}) {
            ByteBuffer in = buffer(16).putInt(12, length);
            assertThat(StoreMessage.sizeBytes(in)).as("length %d", length).isEqualTo(-1);
        }
    }

    @Test
    void refusesToBuildAMessageThatMayNotBeSent() {
        assertThatThrownBy(() -> new StoreMessage(MessageType.READ, 1, 0, "x".repeat(4097)))
                .isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void splitsABodyAtItsNuls() {
        assertThat(StoreMessage.parts("")).isEmpty();
        assertThat(StoreMessage.parts("\0")).containsExactly("");
        assertThat(StoreMessage.parts("a\0b\0")).containsExactly("a", "b");
        assertThat(StoreMessage.parts("a\0\0")).containsExactly("a", "");
        assertThat(StoreMessage.parts("a\0b")).containsExactly("a", "b");
        assertThat(StoreMessage.strings(List.of("a", "", "b"))).isEqualTo("a\0\0b\0");
    }

    private static ByteBuffer buffer(int bytes) {
        return ByteBuffer.allocate(bytes).order(ByteOrder.nativeOrder());
    }
}
