package xenback.block.protocol;

import static xenback.fuzz.FuzzTarget.require;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import xenback.fuzz.FuzzInput;
import xenback.fuzz.FuzzTarget;

/**
 * Any slot, ABI, disk and offer: a request is let through exactly if it stays inside of the disk and its pages and was
 * offered, and its response is written to the last byte. What is legal is told here a second time, from the raw bytes.
 */
public final class RequestTarget implements FuzzTarget {
    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG_UNALIGNED;

    private static final Abi[] ABIS = {Abi.X86_64, Abi.X86_32, Abi.NATIVE};

    private final Arena arena = Arena.ofAuto();
    private final MemorySegment slot = arena.allocate(112, 8);
    private final MemorySegment copy = arena.allocate(112, 8);
    private final MemorySegment descriptors = arena.allocate(8 * 4096, 8);
    private final MemorySegment response = arena.allocate(32, 8);
    private final MemorySegment secondResponse = arena.allocate(32, 8);

    // One object for all inputs, as a table entry is for all requests: what the last one left must not matter.
    private final BlkifRequest request = new BlkifRequest();

    private Abi abi = Abi.X86_64;
    private int blockBytes;
    private long sizeBytes;
    private boolean readOnly;
    private Offered offered = Offered.NOTHING;

    @Override
    public void run(FuzzInput in) {
        abi = ABIS[in.below(ABIS.length)];
        blockBytes = 512 << in.below(4);
        sizeBytes = size(in);
        readOnly = in.rarely();
        offered = new Offered(
                !in.rarely(), in.flag(), !in.rarely(), in.flag(), in.pick(256, 0, 1, 11, 32, 511, 512, 513, 4096));
        fillSlot(in);
        request.decode(slot, abi.layout());
        Rule rule = request.check(sizeBytes, blockBytes, readOnly, offered);
        if (rule == Rule.NONE && request.isIndirect()) {
            int segments = request.segmentCount();
            require(segments > 0 && segments <= offered.indirectSegments(), "indirect segments " + segments);
            for (int i = 0; i < segments; i++) {
                fillSegment(in, descriptors, 8L * i);
            }
            request.decodeSegments(descriptors, 0);
            rule = request.checkSegments(sizeBytes, blockBytes);
        }
        require((rule == Rule.NONE) == legal(), rule + " of a request that is " + (legal() ? "legal" : "not legal"));
        if (rule == Rule.NONE) {
            checkFields();
        }
        respond(rule.status());
    }

    private long size(FuzzInput in) {
        return switch (in.below(4)) {
            case 0 -> (long) blockBytes * (1 + in.u8());
            case 1 -> (long) blockBytes * in.u16();
            case 2 -> (long) blockBytes * Integer.toUnsignedLong(in.u32());
            default -> Long.MAX_VALUE & -blockBytes;
        };
    }

    private void fillSlot(FuzzInput in) {
        BlkifLayout layout = abi.layout();
        slot.fill((byte) in.u8());
        if (in.rarely()) {
            byte[] raw = in.bytes(112);
            MemorySegment.copy(raw, 0, slot, ValueLayout.JAVA_BYTE, 0, raw.length);
            return;
        }
        int operation = in.rarely() ? in.u8() : in.pick(0, 1, 2, 3, Blkif.OP_DISCARD, Blkif.OP_INDIRECT);
        slot.set(ValueLayout.JAVA_BYTE, 0, (byte) operation);
        slot.set(LONG, layout.idAt(), in.u64());
        slot.set(LONG, layout.sectorNumberAt(), sector(in));
        if (operation == Blkif.OP_DISCARD) {
            slot.set(ValueLayout.JAVA_BYTE, 1, (byte) in.u8());
            slot.set(LONG, layout.discardSectorsAt(), sector(in));
        } else if (operation == Blkif.OP_INDIRECT) {
            slot.set(ValueLayout.JAVA_BYTE, 1, (byte) (in.rarely() ? in.u8() : in.below(2)));
            slot.set(ValueLayout.JAVA_SHORT_UNALIGNED, 2, (short) (in.rarely() ? in.u16() : 1 + in.u8()));
        } else {
            int count = in.rarely() ? in.u8() : in.below(12);
            slot.set(ValueLayout.JAVA_BYTE, 1, (byte) count);
            for (int i = 0; i < Math.min(count, 11); i++) {
                fillSegment(in, slot, layout.segmentsAt() + 8L * i);
            }
        }
    }

    private void fillSegment(FuzzInput in, MemorySegment target, long at) {
        boolean broken = in.rarely();
        int unit = blockBytes / 512;
        int first = broken ? in.u8() : in.below(8) & -unit;
        int last = broken ? in.u8() : (first + in.below(8 - first) | unit - 1) & 7;
        target.set(ValueLayout.JAVA_INT_UNALIGNED, at, 8 + in.u8());
        target.set(ValueLayout.JAVA_BYTE, at + 4, (byte) first);
        target.set(ValueLayout.JAVA_BYTE, at + 5, (byte) last);
    }

    /** A number of sectors at the start, around the end, or anywhere. */
    private long sector(FuzzInput in) {
        int unit = blockBytes / 512;
        return switch (in.below(8)) {
            case 0, 1, 2, 3 -> (long) in.u8() * unit;
            case 4 -> in.u8();
            case 5 -> (sizeBytes / 512 - (long) in.u8() * unit);
            case 6 -> sizeBytes / 512 - in.u8();
            default -> in.u64();
        };
    }

    private boolean legal() {
        int operation = Byte.toUnsignedInt(slot.get(ValueLayout.JAVA_BYTE, 0));
        int second = Byte.toUnsignedInt(slot.get(ValueLayout.JAVA_BYTE, 1));
        BlkifLayout layout = abi.layout();
        return switch (operation) {
            case 0 -> second > 0 && segmentsFit(slot, layout.segmentsAt(), second, 11);
            case 1 -> !readOnly && second > 0 && segmentsFit(slot, layout.segmentsAt(), second, 11);
            case 2 -> offered.barrier() && orderedIsLegal(second);
            case 3 -> offered.flush() && orderedIsLegal(second);
            case 5 -> {
                long sectors = slot.get(LONG, layout.discardSectorsAt());
                yield !readOnly && offered.discard() && sectors > 0 && isMultiple(sectors) && fits(sectors);
            }
            case 6 -> {
                int count = Short.toUnsignedInt(slot.get(ValueLayout.JAVA_SHORT_UNALIGNED, 2));
                yield (second == 0 || second == 1 && !readOnly)
                        && count > 0
                        && segmentsFit(descriptors, 0, count, offered.indirectSegments());
            }
            default -> false;
        };
    }

    private boolean orderedIsLegal(int segments) {
        return segments == 0 || !readOnly && segmentsFit(slot, abi.layout().segmentsAt(), segments, 11);
    }

    private boolean segmentsFit(MemorySegment from, long at, int count, int most) {
        if (count > most) {
            return false;
        }
        long sectors = 0;
        for (int i = 0; i < count; i++) {
            int first = Byte.toUnsignedInt(from.get(ValueLayout.JAVA_BYTE, at + 8L * i + 4));
            int last = Byte.toUnsignedInt(from.get(ValueLayout.JAVA_BYTE, at + 8L * i + 5));
            if (first > last || last > 7 || !isMultiple(first) || !isMultiple(last + 1L)) {
                return false;
            }
            sectors += last + 1 - first;
        }
        return fits(sectors);
    }

    private boolean isMultiple(long sectors) {
        return sectors % (blockBytes / 512) == 0;
    }

    private boolean fits(long sectors) {
        long start = slot.get(LONG, abi.layout().sectorNumberAt());
        long all = sizeBytes / 512;
        return start >= 0 && start < all && sectors <= all - start && isMultiple(start);
    }

    /** What the data path will use of a request that was let through. */
    private void checkFields() {
        long offset = request.sectorNumber() * 512;
        long bytes = 0;
        for (int i = 0; i < request.segmentCount(); i++) {
            int at = request.segmentOffset(i);
            int length = request.segmentBytes(i);
            require(length > 0 && at >= 0 && at + length <= 4096, "segment of " + length + " bytes at " + at);
            bytes += length;
        }
        if (request.segmentCount() > 0) {
            require(bytes == request.totalBytes(), bytes + " bytes, told " + request.totalBytes());
            require(offset >= 0 && offset + bytes <= sizeBytes, bytes + " bytes at " + offset + " of " + sizeBytes);
        }
        if (request.operation() == Blkif.OP_DISCARD && !request.isIndirect()) {
            long length = request.discardSectors() * 512;
            require(length > 0 && offset + length <= sizeBytes, "discard of " + length + " bytes at " + offset);
            require(!request.secure() || offered.secureDiscard(), "a secure discard that was not offered");
        }
        if (!request.isIndirect()) {
            repeat();
        }
    }

    /** What was decoded and is encoded is decoded as the same. */
    private void repeat() {
        request.encode(copy, abi.layout(), 7);
        BlkifRequest again = new BlkifRequest();
        again.decode(copy, abi.layout());
        require(again.check(sizeBytes, blockBytes, readOnly, offered) == Rule.NONE, "not legal when encoded again");
        boolean same = again.id() == request.id()
                && again.operation() == request.operation()
                && again.sectorNumber() == request.sectorNumber()
                && again.segmentCount() == request.segmentCount()
                && again.totalBytes() == request.totalBytes();
        require(same, "another request when encoded again");
    }

    private void respond(short status) {
        BlkifLayout layout = abi.layout();
        response.fill((byte) 0xAA);
        secondResponse.fill((byte) 0x55);
        BlkifResponse.encode(response, layout, request.id(), request.operation(), status);
        BlkifResponse.encode(secondResponse, layout, request.id(), request.operation(), status);
        long different = response.mismatch(secondResponse);
        require(different == layout.responseBytes(), "responses differ first at " + different);
        require(BlkifResponse.id(response) == slot.get(LONG, layout.idAt()), "response to another id");
        require(BlkifResponse.status(response) == status, "response with another status");
    }
}
