package xenback.block.frontend;

import xenback.block.protocol.Abi;
import xenback.block.protocol.BlkifLayout;

/**
 * Which features of blkif a frontend uses, each as far as the backend offers it.
 *
 * @param ringPageOrder pages of a ring, as a power of two
 * @param numRingPages whether the number of pages is told in the deprecated spelling
 * @param queues rings
 * @param indirectSegments most pages of an indirect request; up to 11 none is sent
 * @param persistentGrants whether the pages stay granted
 * @param barriers whether a flush is sent as an empty write barrier, as old frontends do
 */
public record XbdOptions(
        Abi abi,
        int ringPageOrder,
        boolean numRingPages,
        int queues,
        int indirectSegments,
        boolean persistentGrants,
        boolean barriers) {
    /** The plainest frontend: one page, eleven segments, grants that end with each request. */
    public static XbdOptions plain(Abi abi) {
        return new XbdOptions(abi, 0, false, 1, 0, false, false);
    }

    /** What Linux' blkfront uses by default, with one ring. */
    public static XbdOptions usual() {
        return new XbdOptions(Abi.NATIVE, 0, false, 1, 32, true, false);
    }

    /** Pages of its domain that a disk takes at most, with these options and no matter what is offered. */
    public int guestPages() {
        int slots = 32 << ringPageOrder;
        int ofZeroes = 1;
        return queues
                * ((1 << ringPageOrder) + XbdPages.pages(slots, segments()) + slots * descriptorPages() + ofZeroes);
    }

    /** Most segments of a request. */
    int segments() {
        return Math.max(BlkifLayout.MAX_SEGMENTS, indirectSegments);
    }

    /** Pages with descriptors that a request needs. */
    int descriptorPages() {
        return indirectSegments > BlkifLayout.MAX_SEGMENTS ? BlkifLayout.indirectPages(indirectSegments) : 0;
    }
}
