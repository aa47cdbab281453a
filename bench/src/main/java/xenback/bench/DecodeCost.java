package xenback.bench;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.Locale;
import xenback.block.protocol.Abi;
import xenback.block.protocol.Blkif;
import xenback.block.protocol.BlkifLayout;
import xenback.block.protocol.BlkifRequest;
import xenback.block.protocol.Offered;
import xenback.block.protocol.Rule;

/**
 * What it costs to read a request out of the ring and to judge it, as the backend does: a copy of the slot, the fields of the copy,
 * the rules. Prints the nanoseconds of a request, the median of several rounds, after as many that warm up.
 */
public final class DecodeCost {
    private static final int SLOTS = 32;
    private static final int ROUNDS = 15;
    private static final int REQUESTS = 4_000_000;
    private static final long DISK_BYTES = 1L << 30;
    private static final Offered OFFERED = new Offered(true, true, true, true, 256);

    private final BlkifLayout layout;
    private final MemorySegment ring;
    private final MemorySegment copy;
    private final MemorySegment descriptors;
    private final MemorySegment descriptorCopy;
    private final BlkifRequest request = new BlkifRequest();
    private final int segments;

    /** What was decoded, so that it cannot be left out. */
    private long sum;

    private DecodeCost(Abi abi, int segments, Arena arena) {
        layout = abi.layout();
        this.segments = segments;
        ring = arena.allocate((long) SLOTS * layout.requestBytes(), 8);
        copy = arena.allocate(layout.requestBytes(), 8);
        descriptors = arena.allocate(4096, 4096);
        descriptorCopy = arena.allocate(4096, 8);
        for (int slot = 0; slot < SLOTS; slot++) {
            BlkifRequest composed = new BlkifRequest();
            composed.compose(slot % 2 == 0 ? Blkif.OP_READ : Blkif.OP_WRITE, slot, slot * 4096L);
            for (int i = 0; i < segments; i++) {
                composed.addSegment(8 + slot * segments + i, 0, 7);
            }
            MemorySegment bytes = ring.asSlice((long) slot * layout.requestBytes(), layout.requestBytes());
            if (segments > BlkifLayout.MAX_SEGMENTS) {
                composed.encodeIndirect(bytes, layout, 51712, descriptors, 0, new int[] {8}, 0);
            } else {
                composed.encode(bytes, layout, 51712);
            }
        }
    }

    public static void main(String[] args) {
        if (args.length != 2) {
            System.err.println("usage: DecodeCost NATIVE|X86_32|X86_64 SEGMENTS (1 to 256)");
            System.exit(2);
        }
        int segments = Integer.parseInt(args[1]);
        try (Arena arena = Arena.ofConfined()) {
            DecodeCost cost = new DecodeCost(Abi.valueOf(args[0]), segments, arena);
            double[] nanos = new double[2 * ROUNDS];
            for (int i = 0; i < nanos.length; i++) {
                nanos[i] = cost.round(REQUESTS / segments);
            }
            double[] warm = Arrays.copyOfRange(nanos, ROUNDS, nanos.length);
            Arrays.sort(warm);
            if (cost.sum == 0) {
                throw new IllegalStateException("nothing was decoded");
            }
            System.out.printf(Locale.ROOT, "%.2f%n", warm[ROUNDS / 2]);
        }
    }

    private double round(int requests) {
        long start = System.nanoTime();
        for (int i = 0; i < requests; i++) {
            one(i & SLOTS - 1);
        }
        return (double) (System.nanoTime() - start) / requests;
    }

    private void one(int slot) {
        MemorySegment.copy(ring, (long) slot * layout.requestBytes(), copy, 0, layout.requestBytes());
        request.decode(copy, layout);
        Rule rule = request.check(DISK_BYTES, 512, false, OFFERED);
        if (rule == Rule.NONE && request.isIndirect()) {
            MemorySegment.copy(descriptors, 0, descriptorCopy, 0, BlkifLayout.descriptorBytes(segments));
            request.decodeSegments(descriptorCopy, 0);
            rule = request.checkSegments(DISK_BYTES, 512);
        }
        if (rule != Rule.NONE) {
            throw new IllegalStateException("refused: " + rule);
        }
        sum += request.totalBytes() + request.gref(0);
    }
}
