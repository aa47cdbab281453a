package xenback.net.link;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.channels.WritableByteChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Instant;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import xenback.net.packet.Frames;

/** Captures, judged by tshark. */
final class CaptureTest {
    @TempDir
    Path dir;

    @Test
    void tellsInterfacesDirectionsChecksumsAndSegmentSizes() throws Exception {
        Path file = dir.resolve("two.pcapng");
        try (Capture capture = Capture.start(create(file), List.of("xnb1i0", "xnb2i0"))) {
            put(capture, 0, Capture.Way.IN, LinkFrames.of(Frames.XNB_UDP, 0));
            put(capture, 1, Capture.Way.OUT, LinkFrames.of(Frames.XNB_TCP, VnetHeader.DATA_VALID));
            put(
                    capture,
                    0,
                    Capture.Way.IN,
                    LinkFrames.of(
                            LinkFrames.tcp(60000),
                            VnetHeader.NEEDS_CSUM,
                            VnetHeader.GSO_TCPV4 | VnetHeader.GSO_ECN,
                            1448));
        }
        assertThat(Capinfo.read(
                        file, "frame.len", "frame.interface_name", "frame.packet_flags_direction", "frame.comment"))
                .containsExactly(
                        "50|xnb1i0|0x00000001|",
                        "74|xnb2i0|0x00000002|checksum validated",
                        "60066|xnb1i0|0x00000001|checksum blank,gso tcpv4 1448");
    }

    @Test
    void tellsTheTimeInNanoseconds() throws Exception {
        Path file = dir.resolve("time.pcapng");
        Instant before = Instant.now();
        try (Capture capture = Capture.start(create(file), List.of("xnb1i0"))) {
            put(capture, 0, Capture.Way.IN, LinkFrames.of(Frames.XNB_UDP, 0));
        }
        String[] epoch = Capinfo.read(file, "frame.time_epoch").getFirst().split("\\.", -1);
        Instant told = Instant.ofEpochSecond(Long.parseLong(epoch[0]), Long.parseLong(epoch[1]));
        assertThat(epoch[1]).hasSize(9);
        // Both clocks are read one after the other at the start, so there is some slack.
        assertThat(told).isBetween(before.minusMillis(100), Instant.now().plusMillis(100));
    }

    @Test
    void keepsFramesOfEverySizeWhole() throws Exception {
        Path file = dir.resolve("sizes.pcapng");
        try (Capture capture = Capture.start(create(file), List.of("xnb1i0"))) {
            for (int payload = 0; payload < 200; payload++) {
                put(capture, 0, Capture.Way.IN, LinkFrames.of(LinkFrames.tcp(payload), 0, 0, 0));
            }
        }
        List<String> frames = Capinfo.read(file, "frame.len", "tcp.payload");
        assertThat(frames).hasSize(200);
        for (int payload = 0; payload < 200; payload++) {
            StringBuilder bytes = new StringBuilder();
            for (int i = 0; i < payload; i++) {
                bytes.append(String.format("%02x", i));
            }
            assertThat(frames.get(payload)).isEqualTo(LinkFrames.TCP_HEADERS + payload + "|" + bytes);
        }
    }

    @Test
    void dropsAndCountsWhatASlowFileDoesNotTake() throws Exception {
        Path file = dir.resolve("slow.pcapng");
        SlowChannel slow = new SlowChannel(create(file));
        Capture capture = Capture.start(slow, List.of("xnb1i0"), 1 << 16);
        MemorySegment frame = LinkFrames.of(LinkFrames.tcp(1000), 0, 0, 0);
        int tries = 0;
        while (capture.dropped() < 10) {
            capture.put(0, Capture.Way.IN, frame, 0, (int) frame.byteSize());
            tries++;
            assertThat(tries).as("a ring of 64 KiB takes no more than this").isLessThan(100);
        }
        slow.mayWrite.countDown();
        capture.close();
        assertThat(capture.taken() + capture.dropped()).isEqualTo(tries);
        assertThat(Capinfo.read(file, "frame.number")).hasSize((int) capture.taken());
        assertThat(droppedAsTold(file)).isEqualTo(10);
    }

    @Test
    void endsWithTheFile() throws Exception {
        Capture capture = Capture.start(new FullChannel(), List.of("xnb1i0"));
        capture.awaitEnd();
        MemorySegment frame = LinkFrames.of(Frames.XNB_UDP, 0);
        assertThat(capture.isEnded()).isTrue();
        assertThat(capture.put(0, Capture.Way.IN, frame, 0, (int) frame.byteSize()))
                .isFalse();
        assertThatThrownBy(capture::close).isInstanceOf(IOException.class).hasMessage("no space");
    }

    @Test
    void listensToALinkWhileItIsAttached() throws Exception {
        Path file = dir.resolve("loop.pcapng");
        CapturedLink link = new CapturedLink(new LoopLink("xnb1i0"));
        LinkQueue queue = link.openQueue(0);
        LinkFrames.send(queue, LinkFrames.of(Frames.XNB_UDP, 0));
        assertThat(LinkFrames.receive(queue)).isEqualTo(Frames.XNB_UDP);
        try (Capture capture = Capture.start(create(file), List.of(link.name()))) {
            link.attach(capture, 0);
            LinkFrames.send(queue, LinkFrames.of(Frames.XNB_TCP, 0));
            assertThat(LinkFrames.receive(queue)).isEqualTo(Frames.XNB_TCP);
            link.detach(capture);
            LinkFrames.send(queue, LinkFrames.of(Frames.XNB_UDP, 0));
        }
        assertThat(Capinfo.read(file, "frame.len", "frame.packet_flags_direction"))
                .containsExactly("74|0x00000001", "74|0x00000002");
    }

    private static void put(Capture capture, int number, Capture.Way way, MemorySegment frame) {
        assertThat(capture.put(number, way, frame, 0, (int) frame.byteSize())).isTrue();
    }

    private static FileChannel create(Path file) throws IOException {
        return FileChannel.open(file, StandardOpenOption.WRITE, StandardOpenOption.CREATE_NEW);
    }

    /** The value of isb_ifdrop, the last option but the end of the file's last block. */
    private static long droppedAsTold(Path file) throws IOException {
        ByteBuffer bytes = ByteBuffer.wrap(Files.readAllBytes(file)).order(ByteOrder.LITTLE_ENDIAN);
        int at = bytes.capacity() - 4 - 4 - 12;
        assertThat(bytes.getInt(at)).isEqualTo(5 | 8 << 16);
        return bytes.getLong(at + 4);
    }

    /** Writes nothing until it may. */
    private record SlowChannel(WritableByteChannel file, CountDownLatch mayWrite) implements WritableByteChannel {
        SlowChannel(WritableByteChannel file) {
            this(file, new CountDownLatch(1));
        }

        @Override
        public int write(ByteBuffer bytes) throws IOException {
            try {
                mayWrite.await();
            } catch (InterruptedException e) {
                throw new IOException(e);
            }
            return file.write(bytes);
        }

        @Override
        public boolean isOpen() {
            return file.isOpen();
        }

        @Override
        public void close() throws IOException {
            file.close();
        }
    }

    /** Takes nothing. */
    private record FullChannel() implements WritableByteChannel {
        @Override
        public int write(ByteBuffer bytes) throws IOException {
            throw new IOException("no space");
        }

        @Override
        public boolean isOpen() {
            return true;
        }

        @Override
        public void close() {}
    }
}
