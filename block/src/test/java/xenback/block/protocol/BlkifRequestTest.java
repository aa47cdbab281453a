package xenback.block.protocol;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.math.BigInteger;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** Requests as a guest can write them, byte for byte, and the rule that each of them breaks. */
class BlkifRequestTest {
    private static final long SECTORS = 1000;
    private static final long SIZE_BYTES = SECTORS * 512;
    private static final MemorySegment SLOT = Arena.global().allocate(112, 8);

    private static BlkifRequest request(int operation, long sector, int... firstAndLast) {
        BlkifRequest request = new BlkifRequest();
        request.compose(operation, 1, sector);
        for (int i = 0; i < firstAndLast.length; i += 2) {
            request.addSegment(100 + i, firstAndLast[i], firstAndLast[i + 1]);
        }
        return request;
    }

    private static final Offered ALL = new Offered(true, true, true, true, 256);

    private static Rule check(int operation, long sector, int... firstAndLast) {
        return request(operation, sector, firstAndLast).check(SIZE_BYTES, 512, false, ALL);
    }

    @ParameterizedTest
    @EnumSource(Abi.class)
    void decodesWhatWasEncoded(Abi abi) {
        long seed = 20261122;
        Random random = new Random(seed);
        BlkifLayout layout = abi.layout();
        MemorySegment slot = Arena.ofAuto().allocate(layout.requestBytes(), 8);
        BlkifRequest decoded = new BlkifRequest();
        for (int round = 0; round < 2000; round++) {
            BlkifRequest made = new BlkifRequest();
            int operation = random.nextInt(256);
            if (operation == Blkif.OP_DISCARD || operation == Blkif.OP_INDIRECT) {
                continue; // they have layouts of their own
            }
            made.compose(operation, random.nextLong(), random.nextLong());
            int segments = random.nextInt(12);
            for (int i = 0; i < segments; i++) {
                int first = random.nextInt(256);
                made.addSegment(random.nextInt(), first, random.nextInt(256));
            }
            slot.fill((byte) 0xA5);
            made.encode(slot, layout, round);
            decoded.decode(slot, layout);
            assertThat(decoded.operation()).as("seed %d round %d", seed, round).isEqualTo(made.operation());
            assertThat(decoded.id()).isEqualTo(made.id());
            assertThat(decoded.sectorNumber()).isEqualTo(made.sectorNumber());
            assertThat(decoded.segmentCount()).isEqualTo(segments);
            for (int i = 0; i < segments; i++) {
                assertThat(decoded.gref(i)).isEqualTo(made.gref(i));
                assertThat(decoded.segmentOffset(i)).isEqualTo(made.segmentOffset(i));
                assertThat(decoded.segmentBytes(i)).isEqualTo(made.segmentBytes(i));
            }
            assertThat(slot.get(ValueLayout.JAVA_SHORT, 2)).isEqualTo((short) round);
            for (long at = layout.segmentsAt() + 8L * segments; at < layout.requestBytes(); at++) {
                assertThat(slot.get(ValueLayout.JAVA_BYTE, at))
                        .as("byte %d", at)
                        .isZero();
            }
        }
    }

    @ParameterizedTest
    @EnumSource(Abi.class)
    void decodesTheIndirectRequestsThatWereEncoded(Abi abi) {
        long seed = 20261125;
        Random random = new Random(seed);
        BlkifLayout layout = abi.layout();
        MemorySegment slot = Arena.ofAuto().allocate(layout.requestBytes(), 8);
        MemorySegment pages = Arena.ofAuto().allocate(8 * 4096, 8);
        int[] grefs = new int[11];
        BlkifRequest decoded = new BlkifRequest();
        for (int round = 0; round < 300; round++) {
            BlkifRequest made = new BlkifRequest();
            made.compose(random.nextInt(256), random.nextLong(), random.nextLong());
            int segments = 1 + random.nextInt(BlkifLayout.MAX_INDIRECT_SEGMENTS);
            for (int i = 0; i < segments; i++) {
                made.addSegment(random.nextInt(), random.nextInt(256), random.nextInt(256));
            }
            for (int i = 0; i < grefs.length; i++) {
                grefs[i] = random.nextInt();
            }
            slot.fill((byte) 0xA5);
            made.encodeIndirect(slot, layout, round, pages, 0, grefs, 3);
            decoded.decode(slot, layout);
            assertThat(decoded.isIndirect()).as("seed %d round %d", seed, round).isTrue();
            assertThat(decoded.operation()).as("what it carries").isEqualTo(made.operation());
            assertThat(decoded.id()).isEqualTo(made.id());
            assertThat(decoded.sectorNumber()).isEqualTo(made.sectorNumber());
            assertThat(decoded.segmentCount()).isEqualTo(segments);
            for (int page = 0; page < (segments + 511) / 512; page++) {
                assertThat(decoded.descriptorGref(page)).isEqualTo(grefs[3 + page]);
            }
            decoded.decodeSegments(pages, 0);
            for (int i = 0; i < segments; i++) {
                assertThat(decoded.gref(i)).isEqualTo(made.gref(i));
                assertThat(decoded.segmentOffset(i)).isEqualTo(made.segmentOffset(i));
                assertThat(decoded.segmentBytes(i)).isEqualTo(made.segmentBytes(i));
            }
        }
    }

    @ParameterizedTest
    @EnumSource(Abi.class)
    void decodesTheDiscardsThatWereEncoded(Abi abi) {
        MemorySegment slot = Arena.ofAuto().allocate(abi.layout().requestBytes(), 8);
        for (boolean secure : new boolean[] {false, true}) {
            BlkifRequest made = new BlkifRequest();
            made.compose(Blkif.OP_DISCARD, 0x0102030405060708L, 16);
            made.discard(0x1112131415161718L, secure);
            slot.fill((byte) 0xA5);
            made.encode(slot, abi.layout(), 7);
            BlkifRequest decoded = new BlkifRequest();
            decoded.decode(slot, abi.layout());
            assertThat(decoded.operation()).isEqualTo(Blkif.OP_DISCARD);
            assertThat(decoded.isIndirect()).isFalse();
            assertThat(decoded.id()).isEqualTo(0x0102030405060708L);
            assertThat(decoded.sectorNumber()).isEqualTo(16);
            assertThat(decoded.discardSectors()).isEqualTo(0x1112131415161718L);
            assertThat(decoded.secure()).isEqualTo(secure);
            assertThat(decoded.segmentCount()).isZero();
        }
    }

    private static Rule indirect(int operation, int segments, boolean readOnly, Offered offered) {
        MemorySegment slot = Arena.ofAuto().allocate(112, 8);
        MemorySegment pages = Arena.ofAuto().allocate(8L * Math.max(1, segments), 8);
        BlkifRequest made = request(operation, 0);
        for (int i = 0; i < segments; i++) {
            made.addSegment(i, 0, 0);
        }
        made.encodeIndirect(slot, Abi.X86_64.layout(), 0, pages, 0, new int[BlkifLayout.MAX_INDIRECT_PAGES], 0);
        BlkifRequest decoded = new BlkifRequest();
        decoded.decode(slot, Abi.X86_64.layout());
        return decoded.check(SIZE_BYTES, 512, readOnly, offered);
    }

    @Test
    void letsIndirectRequestsCarryReadsAndWritesOfAsManySegmentsAsWereOffered() {
        for (int operation = 0; operation < 256; operation++) {
            boolean carried = operation == Blkif.OP_READ || operation == Blkif.OP_WRITE;
            assertThat(indirect(operation, 12, false, ALL))
                    .as("operation %d", operation)
                    .isEqualTo(carried ? Rule.NONE : Rule.INDIRECT_OPERATION);
        }
        assertThat(indirect(Blkif.OP_READ, 0, false, ALL)).isEqualTo(Rule.NO_SEGMENTS);
        assertThat(indirect(Blkif.OP_READ, 256, false, ALL)).isEqualTo(Rule.NONE);
        assertThat(indirect(Blkif.OP_READ, 257, false, ALL)).isEqualTo(Rule.TOO_MANY_SEGMENTS);
        assertThat(indirect(Blkif.OP_READ, 12, false, Offered.NOTHING)).isEqualTo(Rule.UNSUPPORTED_OPERATION);
        assertThat(indirect(Blkif.OP_WRITE, 12, true, ALL)).isEqualTo(Rule.WRITE_TO_READ_ONLY);
        assertThat(indirect(Blkif.OP_READ, 12, true, ALL)).isEqualTo(Rule.NONE);
    }

    private static Rule discard(long sector, long sectors, boolean readOnly, int block, Offered offered) {
        BlkifRequest request = request(Blkif.OP_DISCARD, sector);
        request.discard(sectors, true);
        return request.check(SIZE_BYTES, block, readOnly, offered);
    }

    @Test
    void judgesDiscards() {
        long end = SIZE_BYTES / 512;
        assertThat(discard(0, end, false, 512, ALL)).isEqualTo(Rule.NONE);
        assertThat(discard(end - 1, 1, false, 512, ALL)).isEqualTo(Rule.NONE);
        assertThat(discard(0, 0, false, 512, ALL)).isEqualTo(Rule.EMPTY_DISCARD);
        for (long sectors : new long[] {end + 1, Long.MAX_VALUE, -1, Long.MIN_VALUE, 1L << 55}) {
            assertThat(discard(0, sectors, false, 512, ALL)).isEqualTo(Rule.BEYOND_END);
            assertThat(discard(1, sectors - 1, false, 512, ALL)).isEqualTo(Rule.BEYOND_END);
            assertThat(discard(sectors, 1, false, 512, ALL)).isEqualTo(Rule.BEYOND_END);
        }
        assertThat(discard(4, 8, false, 4096, ALL)).isEqualTo(Rule.MISALIGNED);
        assertThat(discard(8, 4, false, 4096, ALL)).isEqualTo(Rule.MISALIGNED);
        assertThat(discard(8, 8, false, 4096, ALL)).isEqualTo(Rule.NONE);
        assertThat(discard(0, 8, true, 512, ALL)).as("CVE-2013-2140").isEqualTo(Rule.WRITE_TO_READ_ONLY);
        assertThat(discard(0, 8, true, 512, Offered.NOTHING)).isEqualTo(Rule.WRITE_TO_READ_ONLY);
        assertThat(discard(0, 8, false, 512, Offered.NOTHING)).isEqualTo(Rule.UNSUPPORTED_OPERATION);
    }

    @Test
    void ignoresTheSecureFlagThatWasNotOffered() {
        BlkifRequest request = request(Blkif.OP_DISCARD, 0);
        request.discard(8, true);
        assertThat(request.check(SIZE_BYTES, 512, false, new Offered(true, true, true, false, 0)))
                .isEqualTo(Rule.NONE);
        assertThat(request.secure()).isFalse();
    }

    /** The bytes of a request as a 32-bit and as a 64-bit guest put them, written by hand. */
    @Test
    void readsTheBytesOfBothWordSizes() {
        byte[] tail = {0x44, 0x33, 0x22, 0x11, 2, 5, 0, 0};
        byte[] head = {1, 1, 0x34, 0x12};
        byte[] words = {8, 7, 6, 5, 4, 3, 2, 1, 0x10, 0, 0, 0, 0, 0, 0, 0};
        for (Abi abi : new Abi[] {Abi.X86_32, Abi.X86_64}) {
            int wordsAt = abi == Abi.X86_32 ? 4 : 8;
            SLOT.fill((byte) 0);
            MemorySegment.copy(head, 0, SLOT, ValueLayout.JAVA_BYTE, 0, 4);
            MemorySegment.copy(words, 0, SLOT, ValueLayout.JAVA_BYTE, wordsAt, 16);
            MemorySegment.copy(tail, 0, SLOT, ValueLayout.JAVA_BYTE, wordsAt + 16, 8);
            BlkifRequest request = new BlkifRequest();
            request.decode(SLOT, abi.layout());
            assertThat(request.operation()).isEqualTo(Blkif.OP_WRITE);
            assertThat(request.id()).isEqualTo(0x0102030405060708L);
            assertThat(request.sectorNumber()).isEqualTo(16);
            assertThat(request.gref(0)).isEqualTo(0x11223344);
            assertThat(request.segmentOffset(0)).isEqualTo(1024);
            assertThat(request.segmentBytes(0)).isEqualTo(2048);
            assertThat(request.check(SIZE_BYTES, 512, false, ALL)).isEqualTo(Rule.NONE);
        }
    }

    @Test
    void decodesAnyBytesWithoutFailingAndKeepsTheIdForTheAnswer() {
        Random random = new Random(99);
        byte[] bytes = new byte[112];
        BlkifRequest request = new BlkifRequest();
        for (int round = 0; round < 20_000; round++) {
            random.nextBytes(bytes);
            MemorySegment.copy(bytes, 0, SLOT, ValueLayout.JAVA_BYTE, 0, 112);
            for (Abi abi : Abi.values()) {
                request.decode(SLOT, abi.layout());
                assertThat(request.id())
                        .isEqualTo(SLOT.get(ValueLayout.JAVA_LONG_UNALIGNED, abi == Abi.X86_32 ? 4 : 8));
                Rule rule = request.check(SIZE_BYTES, 512, round % 2 == 0, ALL);
                if (rule == Rule.NONE) {
                    assertInside(request);
                }
            }
        }
    }

    /** What a request may do that no rule refused: stay in its pages and on its disk. */
    private static void assertInside(BlkifRequest request) {
        long bytes = 0;
        for (int i = 0; i < request.segmentCount(); i++) {
            assertThat(request.segmentBytes(i)).isBetween(512, 4096);
            assertThat(request.segmentOffset(i) + request.segmentBytes(i)).isLessThanOrEqualTo(4096);
            bytes += request.segmentBytes(i);
        }
        assertThat(request.totalBytes()).isEqualTo((int) bytes).isLessThanOrEqualTo(11 * 4096);
        if (bytes > 0) {
            assertThat(new BigInteger(Long.toUnsignedString(request.sectorNumber()))
                            .multiply(BigInteger.valueOf(512))
                            .add(BigInteger.valueOf(bytes)))
                    .isLessThanOrEqualTo(BigInteger.valueOf(SIZE_BYTES));
        }
    }

    @Test
    void refusesWhatWasNotOffered() {
        for (int operation = 0; operation < 256; operation++) {
            if (operation == Blkif.OP_DISCARD || operation == Blkif.OP_INDIRECT) {
                continue; // they have tests of their own
            }
            boolean always = operation == Blkif.OP_READ || operation == Blkif.OP_WRITE;
            boolean offered = operation == Blkif.OP_WRITE_BARRIER || operation == Blkif.OP_FLUSH_DISKCACHE;
            assertThat(check(operation, 0, 0, 7))
                    .as("operation %d", operation)
                    .isEqualTo(always || offered ? Rule.NONE : Rule.UNSUPPORTED_OPERATION);
            assertThat(request(operation, 0, 0, 7).check(SIZE_BYTES, 512, false, Offered.NOTHING))
                    .as("operation %d", operation)
                    .isEqualTo(always ? Rule.NONE : Rule.UNSUPPORTED_OPERATION);
        }
        assertThat(Rule.UNSUPPORTED_OPERATION.status()).isEqualTo(Blkif.STATUS_EOPNOTSUPP);
    }

    @Test
    void needsSegmentsExceptToFlush() {
        assertThat(check(Blkif.OP_READ, 0)).isEqualTo(Rule.NO_SEGMENTS);
        assertThat(check(Blkif.OP_WRITE, 0)).isEqualTo(Rule.NO_SEGMENTS);
        assertThat(check(Blkif.OP_FLUSH_DISKCACHE, -1))
                .as("its sector means nothing")
                .isEqualTo(Rule.NONE);
        assertThat(check(Blkif.OP_WRITE_BARRIER, -1)).isEqualTo(Rule.NONE);
    }

    @Test
    void holdsElevenSegmentsAndNotOneMore() {
        for (Abi abi : Abi.values()) {
            for (int count = 0; count < 256; count++) {
                request(Blkif.OP_READ, 0, new int[22]).encode(SLOT, abi.layout(), 0);
                SLOT.set(ValueLayout.JAVA_BYTE, 1, (byte) count);
                BlkifRequest request = new BlkifRequest();
                request.decode(SLOT, abi.layout());
                Rule expected = count == 0 ? Rule.NO_SEGMENTS : count <= 11 ? Rule.NONE : Rule.TOO_MANY_SEGMENTS;
                assertThat(request.check(SIZE_BYTES, 512, false, ALL))
                        .as("%d segments", count)
                        .isEqualTo(expected);
            }
        }
    }

    @Test
    void judgesEveryPairOfSectors() {
        for (int first = 0; first < 256; first++) {
            for (int last = 0; last < 256; last++) {
                Rule expected = last < first ? Rule.SEGMENT_BACKWARDS : last > 7 ? Rule.SEGMENT_BEYOND_PAGE : Rule.NONE;
                assertThat(check(Blkif.OP_READ, 0, first, last))
                        .as("%d..%d", first, last)
                        .isEqualTo(expected);
                assertThat(check(Blkif.OP_READ, 0, 0, 7, first, last))
                        .as("second %d..%d", first, last)
                        .isEqualTo(expected);
            }
        }
    }

    @Test
    void keepsReadOnlyDisksFromEveryWayToWrite() {
        assertThat(request(Blkif.OP_WRITE, 0, 0, 7).check(SIZE_BYTES, 512, true, ALL))
                .isEqualTo(Rule.WRITE_TO_READ_ONLY);
        assertThat(request(Blkif.OP_FLUSH_DISKCACHE, 0, 0, 7).check(SIZE_BYTES, 512, true, ALL))
                .isEqualTo(Rule.WRITE_TO_READ_ONLY);
        assertThat(request(Blkif.OP_FLUSH_DISKCACHE, 0).check(SIZE_BYTES, 512, true, ALL))
                .isEqualTo(Rule.NONE);
        assertThat(request(Blkif.OP_READ, 0, 0, 7).check(SIZE_BYTES, 512, true, ALL))
                .isEqualTo(Rule.NONE);
    }

    @ParameterizedTest
    @CsvSource({
        "0, 8, NONE",
        "992, 8, NONE",
        "993, 8, BEYOND_END",
        "999, 1, NONE",
        "1000, 1, BEYOND_END",
        "999, 2, BEYOND_END",
        "1001, 1, BEYOND_END",
        "4294967296, 1, BEYOND_END",
        "9223372036854775807, 1, BEYOND_END",
        "9223372036854775807, 8, BEYOND_END",
        "-1, 1, BEYOND_END",
        "-1, 8, BEYOND_END",
        "-8, 8, BEYOND_END",
        "-9223372036854775808, 8, BEYOND_END",
        "18014398509481984, 8, BEYOND_END",
        "36028797018963968, 8, BEYOND_END",
        "36028797018963969, 8, BEYOND_END"
    })
    void keepsRequestsOnTheDiskHoweverTheSumOverflows(long sector, int sectors, Rule expected) {
        assertThat(check(Blkif.OP_READ, sector, 0, sectors - 1)).isEqualTo(expected);
        assertThat(check(Blkif.OP_WRITE, sector, 0, sectors - 1)).isEqualTo(expected);
    }

    @Test
    void agreesWithArithmeticThatCannotOverflow() {
        long seed = 4711;
        Random random = new Random(seed);
        long[] borders = {0, 1L << 9, 1L << 32, 1L << 54, 1L << 55, Long.MAX_VALUE, Long.MIN_VALUE, -1};
        for (int round = 0; round < 200_000; round++) {
            long size = switch (random.nextInt(4)) {
                case 0 -> SIZE_BYTES;
                case 1 -> 512;
                case 2 -> Long.MAX_VALUE & -512;
                default -> (random.nextLong() >>> 1 + random.nextInt(50)) & -512;
            };
            long sector = (random.nextBoolean() ? borders[random.nextInt(borders.length)] : size / 512)
                    + random.nextInt(200)
                    - 100;
            int[] segments = new int[2 * (1 + random.nextInt(11))];
            for (int i = 0; i < segments.length; i += 2) {
                segments[i] = random.nextInt(8);
                segments[i + 1] = segments[i] + random.nextInt(8 - segments[i]);
            }
            BlkifRequest request = request(Blkif.OP_READ, sector, segments);
            Rule rule = request.check(size, 512, false, ALL);
            boolean inside = new BigInteger(Long.toUnsignedString(sector))
                            .multiply(BigInteger.valueOf(512))
                            .add(BigInteger.valueOf(request.totalBytes()))
                            .compareTo(BigInteger.valueOf(size))
                    <= 0;
            assertThat(rule)
                    .as("seed %d round %d: sector %d of %d bytes", seed, round, sector, size)
                    .isEqualTo(inside ? Rule.NONE : Rule.BEYOND_END);
        }
    }

    @Test
    void keepsToTheLogicalBlockOfTheDisk() {
        for (int block : new int[] {512, 1024, 2048, 4096}) {
            int unit = block / 512;
            for (int first = 0; first < 8; first++) {
                for (int last = first; last < 8; last++) {
                    for (long sector = 0; sector < 16; sector++) {
                        boolean aligned = sector % unit == 0 && first % unit == 0 && (last - first + 1) % unit == 0;
                        assertThat(request(Blkif.OP_WRITE, sector, first, last).check(1 << 20, block, false, ALL))
                                .as("block %d, sector %d, %d..%d", block, sector, first, last)
                                .isEqualTo(aligned ? Rule.NONE : Rule.MISALIGNED);
                    }
                }
            }
        }
    }

    /** XSA-216: the slot held a request before, and our memory anything at all; none of it may show. */
    @ParameterizedTest
    @EnumSource(Abi.class)
    void writesEveryByteOfAResponse(Abi abi) {
        int bytes = abi.layout().responseBytes();
        MemorySegment ones = Arena.ofAuto().allocate(16, 8).fill((byte) 0xFF);
        MemorySegment zeroes = Arena.ofAuto().allocate(16, 8);
        for (MemorySegment target : new MemorySegment[] {ones, zeroes}) {
            BlkifResponse.encode(target, abi.layout(), 0x1122334455667788L, 0xFE, Blkif.STATUS_EOPNOTSUPP);
            assertThat(BlkifResponse.id(target)).isEqualTo(0x1122334455667788L);
            assertThat(BlkifResponse.status(target)).isEqualTo(Blkif.STATUS_EOPNOTSUPP);
            assertThat(target.get(ValueLayout.JAVA_BYTE, 8)).isEqualTo((byte) 0xFE);
        }
        assertThat(ones.asSlice(0, bytes).mismatch(zeroes.asSlice(0, bytes)))
                .as("first byte that was not written")
                .isEqualTo(-1);
        assertThat(ones.asSlice(bytes).mismatch(zeroes.asSlice(bytes)))
                .as("nothing beyond the response is written")
                .isEqualTo(bytes == 16 ? -1 : 0);
    }

    @Test
    void everyRuleButTheMissingFeatureIsAnError() {
        for (int i = 0; i < Rule.count(); i++) {
            Rule rule = Rule.at(i);
            assertThat(rule.index()).isEqualTo(i);
            short expected = switch (rule) {
                case NONE -> Blkif.STATUS_OKAY;
                case UNSUPPORTED_OPERATION -> Blkif.STATUS_EOPNOTSUPP;
                default -> Blkif.STATUS_ERROR;
            };
            assertThat(rule.status()).as(rule.toString()).isEqualTo(expected);
        }
    }
}
