package xenback.block.backend;

import xenback.block.protocol.BlkifLayout;

/**
 * What the operator lets a backend offer to its guests.
 *
 * @param maxRingPageOrder most pages of a ring, as a power of two: 0 to 4
 * @param maxQueues most rings of a device
 * @param maxIndirectSegments most pages of an indirect request, 0 for none; 4096 is what the protocol can carry
 * @param persistentGrants whether pages of the guest stay mapped if it offers that
 * @param mayShrink whether a store that became smaller makes the guest's disk smaller
 * @param ownSectorSize whether the guest is told the store's own logical block; else 512 bytes, whatever the store has
 */
public record BlockOptions(
        int maxRingPageOrder,
        int maxQueues,
        int maxIndirectSegments,
        boolean persistentGrants,
        boolean mayShrink,
        boolean ownSectorSize) {
    /** 16 pages: what Linux' xen-blkback offers. */
    public static final int RING_PAGE_ORDER_LIMIT = 4;

    /** What one device may have at most, however many processors there are. */
    public static final int QUEUE_LIMIT = 64;

    public BlockOptions {
        check("order of ring pages", maxRingPageOrder, 0, RING_PAGE_ORDER_LIMIT);
        check("number of queues", maxQueues, 1, QUEUE_LIMIT);
        check("number of indirect segments", maxIndirectSegments, 0, BlkifLayout.MAX_INDIRECT_SEGMENTS);
    }

    /** Everything, as much of it as Linux' xen-blkback offers, with a queue per processor. */
    public static BlockOptions usual() {
        int processors = Runtime.getRuntime().availableProcessors();
        return new BlockOptions(RING_PAGE_ORDER_LIMIT, Math.min(processors, QUEUE_LIMIT), 256, true, false, false);
    }

    private static void check(String what, int number, int least, int most) {
        if (number < least || number > most) {
            throw new IllegalArgumentException(what + " " + number + " is not in " + least + " to " + most);
        }
    }
}
