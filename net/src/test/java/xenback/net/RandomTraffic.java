package xenback.net;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.HexFormat;
import java.util.List;
import java.util.Random;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;
import xenback.net.link.VnetHeader;
import xenback.net.packet.Checksums;
import xenback.net.packet.FrameHeaders;
import xenback.net.packet.RandomFrames;
import xenback.net.packet.Tshark;
import xenback.xen.io.Tap;

/**
 * Random packets through the whole and both ways at once: a TAP of the test, a bridge, the guest's TAP, xn, xnb, the host's TAP,
 * a bridge, another TAP of the test. Sizes, protocols, IP options and extension headers, fragments, VLAN tags, blank checksums
 * and large TCP frames are at random. What comes out of the last TAP, which has no offload, Linux has finished; its bytes are
 * compared with what went in.
 */
final class RandomTraffic {
    private static final int IN_FLIGHT = 200;
    private static final int ROOM = 1 << 17;
    private static final int SEQUENCE_AT = 4;
    private static final long PATIENCE_NANOS = 20_000_000_000L;
    private static final long LOOK_EVERY_NANOS = 50_000;

    private final int mostPayload;
    private final int mostSegment;
    private final @Nullable Path judgeDir;

    /**
     * @param mostPayload of a frame that is not to be cut
     * @param mostSegment of a segment
     * @param judgeDir where tshark gets the frames whose checksums it judges; null: judged by Checksums,
     *     which tshark has judged, and right from the start
     */
    RandomTraffic(int mostPayload, int mostSegment, @Nullable Path judgeDir) {
        this.mostPayload = mostPayload;
        this.mostSegment = mostSegment;
        this.judgeDir = judgeDir;
    }

    /** Sends so many packets, half of them each way, and returns when all have arrived as they should. */
    void run(Crossover cable, int packets, Random random) throws Exception {
        try (Tap host = cable.bridgedToHost();
                Tap guest = cable.bridgedToGuest()) {
            Way toHost = new Way("from guest to host", guest, host, new Random(random.nextLong()));
            Way toGuest = new Way("from host to guest", host, guest, new Random(random.nextLong()));
            awaitBridges(cable, host, guest);
            long quietSince = System.nanoTime();
            while (toHost.done + toGuest.done < packets) {
                toHost.send(packets / 2);
                toGuest.send(packets - packets / 2);
                boolean came = toHost.receive();
                came |= toGuest.receive();
                if (came) {
                    quietSince = System.nanoTime();
                } else if (System.nanoTime() - quietSince > PATIENCE_NANOS) {
                    throw new AssertionError("nothing comes any more: " + toHost.done + " and " + toGuest.done
                            + " done, " + toHost.expected.size() + " and " + toGuest.expected.size()
                            + " under way, " + cable.numbers());
                } else {
                    LockSupport.parkNanos(LOOK_EVERY_NANOS); // the loops need the processor more
                }
            }
            toHost.judge();
            toGuest.judge();
        }
    }

    /** What has to come out: one frame, or the segments of a large one. */
    @SuppressWarnings("ArrayRecordComponent") // never compared
    private record Expected(byte[] frame, int fieldAt, int headerBytes, int segments, int mss) {}

    /** One direction. */
    private final class Way {
        private final String name;
        private final Tap in;
        private final Tap out;
        private final RandomFrames frames;
        private final Random random;
        private final @Nullable Tshark judge;
        private final MemorySegment memory = Arena.ofAuto().allocate(ROOM, 64);
        private final FrameHeaders headers = new FrameHeaders();
        private final Deque<Expected> expected = new ArrayDeque<>();
        private final List<Integer> judged = new ArrayList<>(); // protocols, of each frame that tshark gets
        private final ByteArrayOutputStream pieces = new ByteArrayOutputStream();
        private int segmentsSeen;
        private int sent;
        private int done;

        Way(String name, Tap in, Tap out, Random random) throws IOException {
            this.name = name;
            this.in = in;
            this.out = out;
            this.random = random;
            frames = new RandomFrames(random);
            judge = judgeDir == null ? null : new Tshark(judgeDir.resolve(name + ".pcap"));
        }

        void send(int most) {
            while (sent < most && expected.size() < IN_FLIGHT) {
                boolean large = random.nextInt(20) == 0;
                int mss = 200 + random.nextInt(mostSegment - 200);
                byte[] frame = large
                        ? frames.nextLargeTcp(mss + 1 + random.nextInt(60_000 - mss))
                        : frames.next(random.nextInt(10) == 0 ? mostPayload : 1200);
                send(frame, large, mss);
            }
        }

        private void send(byte[] frame, boolean large, int mss) {
            MemorySegment view = MemorySegment.ofArray(frame);
            headers.parse(view, 0, frame.length);
            boolean partial = (large || random.nextInt(3) > 0) && Checksums.preparePartial(view, 0, headers);
            if (partial) {
                Checksums.completeIpv4Header(view, 0, headers);
                // What the field holds is made anew on the way, unless the kernel has had to finish it before.
                if (judgeDir != null) {
                    frame[headers.checksumOffset()] ^= (byte) random.nextInt(256);
                }
                int gso = !large ? 0 : headers.ipVersion() == 4 ? VnetHeader.GSO_TCPV4 : VnetHeader.GSO_TCPV6;
                VnetHeader.put(
                        memory,
                        0,
                        VnetHeader.NEEDS_CSUM,
                        gso,
                        large ? headers.headerBytes() : 0,
                        large ? mss : 0,
                        headers.l4Offset(),
                        headers.checksumOffset() - headers.l4Offset());
            } else {
                VnetHeader.put(memory, 0, random.nextBoolean() ? VnetHeader.DATA_VALID : 0);
            }
            MemorySegment.copy(frame, 0, memory, ValueLayout.JAVA_BYTE, VnetHeader.BYTES, frame.length);
            int written = in.write(memory, 0, VnetHeader.BYTES + frame.length);
            assertThat(written).as(name + " " + HexFormat.of().formatHex(frame)).isPositive();
            int payload = frame.length - headers.headerBytes();
            expected.add(new Expected(
                    frame,
                    partial ? headers.checksumOffset() : -1,
                    headers.headerBytes(),
                    large ? Math.ceilDiv(payload, mss) : 0,
                    mss));
            sent++;
        }

        /** Takes what has come; false if there was nothing. */
        boolean receive() throws IOException {
            boolean any = false;
            int bytes = out.tryRead(memory, 0, ROOM);
            while (bytes > 0) {
                any = true;
                byte[] frame = memory.asSlice(VnetHeader.BYTES, bytes - VnetHeader.BYTES)
                        .toArray(ValueLayout.JAVA_BYTE);
                if (frame[6] == 0 && frame[7] == 0x16 && frame[8] == 0x3E) { // ours, not what interfaces say
                    assertThat(VnetHeader.flags(memory, 0) & VnetHeader.NEEDS_CSUM)
                            .as("nothing is left to do")
                            .isZero();
                    take(frame);
                }
                bytes = out.tryRead(memory, 0, ROOM);
            }
            return any;
        }

        private void take(byte[] frame) throws IOException {
            Expected next = expected.peek();
            assertThat(next).as("%s: a frame that nobody sent", name).isNotNull();
            if (next.segments() > 0) {
                takeSegment(next, frame);
                return;
            }
            expected.remove();
            done++;
            byte[] same = next.frame().clone();
            if (next.fieldAt() >= 0) {
                same[next.fieldAt()] = frame[next.fieldAt()];
                same[next.fieldAt() + 1] = frame[next.fieldAt() + 1];
                toJudge(frame);
            }
            assertThat(HexFormat.of().formatHex(frame))
                    .as("%s: frame %d", name, done)
                    .isEqualTo(HexFormat.of().formatHex(same));
        }

        private void takeSegment(Expected whole, byte[] segment) throws IOException {
            int header = whole.headerBytes();
            MemorySegment view = MemorySegment.ofArray(segment);
            headers.parse(view, 0, segment.length);
            assertThat(headers.headerBytes()).as(name).isEqualTo(header);
            int at = headers.l4Offset() + SEQUENCE_AT;
            int sequence = PlainFrames.u16(segment, at) << 16 | PlainFrames.u16(segment, at + 2);
            int first = PlainFrames.u16(whole.frame(), at) << 16 | PlainFrames.u16(whole.frame(), at + 2);
            assertThat(sequence).as(name).isEqualTo(first + pieces.size());
            pieces.write(segment, header, segment.length - header);
            toJudge(segment);
            if (++segmentsSeen == whole.segments()) {
                byte[] payload = Arrays.copyOfRange(whole.frame(), header, whole.frame().length);
                assertThat(pieces.toByteArray()).as(name).isEqualTo(payload);
                pieces.reset();
                segmentsSeen = 0;
                expected.remove();
                done++;
            } else {
                assertThat(segment.length - header).as(name).isEqualTo(whole.mss());
            }
        }

        private void toJudge(byte[] frame) throws IOException {
            MemorySegment view = MemorySegment.ofArray(frame);
            headers.parse(view, 0, frame.length);
            if (judge == null) {
                assertThat(Checksums.isRight(view, 0, headers)).as(name).isTrue();
            } else {
                judge.add(withPlainZero(frame));
                judged.add(headers.protocol());
            }
        }

        /**
         * Linux writes a TCP checksum of 0 as 0xffff (CSUM_MANGLED_0), ones' complement's other zero, which every receiver adds up
         * to the same. tshark says of it that it should be 0 (RFC 1624), so it gets that to judge.
         */
        private byte[] withPlainZero(byte[] frame) {
            int field = headers.checksumOffset();
            if (headers.l4() != FrameHeaders.L4.TCP || field < 0 || frame[field] != -1 || frame[field + 1] != -1) {
                return frame;
            }
            byte[] same = frame.clone();
            same[field] = 0;
            same[field + 1] = 0;
            return same;
        }

        void judge() throws IOException, InterruptedException {
            if (judge == null) {
                return;
            }
            List<String[]> rows = judge.read();
            assertThat(rows).hasSize(judged.size());
            for (int i = 0; i < rows.size(); i++) {
                assertThat(rows.get(i)[Tshark.column(judged.get(i))])
                        .as("%s: checksum of judged frame %d, protocol %d", name, i, judged.get(i))
                        .isEqualTo(Tshark.GOOD);
            }
        }
    }

    /** Until a frame gets through each way: bridges listen for a while first. */
    private static void awaitBridges(Crossover cable, Tap host, Tap guest) throws Exception {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment memory = arena.allocate(ROOM, 64);
            byte[] marker = new byte[60];
            Arrays.fill(marker, 0, 6, (byte) 2);
            marker[6] = 2;
            marker[12] = (byte) 0x88;
            marker[13] = (byte) 0xB5; // for experiments (IEEE 802)
            for (Tap[] way : new Tap[][] {{guest, host}, {host, guest}}) {
                Await.until(
                        () -> {
                            VnetHeader.put(memory, 0, 0);
                            MemorySegment.copy(marker, 0, memory, ValueLayout.JAVA_BYTE, VnetHeader.BYTES, 60);
                            way[0].write(memory, 0, VnetHeader.BYTES + 60);
                            int bytes = way[1].tryRead(memory, 0, ROOM);
                            return bytes == VnetHeader.BYTES + 60
                                    && memory.get(ValueLayout.JAVA_BYTE, VnetHeader.BYTES + 13) == (byte) 0xB5;
                        },
                        cable::numbers);
            }
        }
    }
}
