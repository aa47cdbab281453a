package xenback.xen.host;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;
import xenback.xen.XenException;
import xenback.xen.grant.GrantCopyBatch;
import xenback.xen.grant.PageBudget;
import xenback.xen.io.DeviceFile;

/**
 * Pages of this process that it grants to its own domain by /dev/xen/gntalloc (uapi/xen/gntalloc.h): as the local end of a copy
 * Xen is told a reference, where Linux else has to find and pin the page behind an address each time. No other domain can use
 * these grants. One thread.
 */
final class OwnPages implements AutoCloseable {
    private static final Path DEVICE = Path.of("/dev/xen/gntalloc");
    private static final Path LIMIT = Path.of("/sys/module/xen_gntalloc/parameters/limit");
    private static final int USUAL_LIMIT = 1024;

    private static final int PAGE_BYTES = GrantCopyBatch.PAGE_BYTES;

    // The size in the number is that of one reference, however many there are.
    private static final long ALLOC_GREF = 0x00184705L;

    // struct ioctl_gntalloc_alloc_gref
    private static final long ALLOC_DOMID = 0; // u16
    private static final long ALLOC_FLAGS = 2; // u16
    private static final long ALLOC_COUNT = 4; // u32
    private static final long ALLOC_INDEX = 8; // u64, out
    private static final long ALLOC_REFS = 16; // u32 each, out
    private static final short WRITABLE = 1;

    /** Of the pages that the kernel gives out to all of the domain, this process takes half: others talk by them (vchan). */
    private static final PageBudget BUDGET = PageBudget.halfOf(LIMIT, USUAL_LIMIT);

    private final DeviceFile device;
    private final int domid;
    private final long address;
    private final int[] grefs;

    private OwnPages(DeviceFile device, int domid, long address, int[] grefs) {
        this.device = device;
        this.domid = domid;
        this.address = address;
        this.grefs = grefs;
    }

    /**
     * Puts such pages in place of the first ones of {@code memory}, which is anonymous ({@link xenback.xen.io.Mapping}).
     *
     * @param domid this domain
     * @return null if there are none: the device is absent or refuses, or they are all in use
     */
    static @Nullable OwnPages at(MemorySegment memory, int pages, int domid) {
        if (!BUDGET.take(pages)) {
            return null;
        }
        OwnPages made = allocate(memory, pages, domid);
        if (made == null) {
            BUDGET.give(pages);
        }
        return made;
    }

    private static @Nullable OwnPages allocate(MemorySegment memory, int pages, int domid) {
        DeviceFile device;
        try {
            device = DeviceFile.open(DEVICE);
        } catch (XenException e) {
            return null;
        }
        try (Arena scratch = Arena.ofConfined()) {
            MemorySegment call = scratch.allocate(ALLOC_REFS + 4L * pages, 8);
            call.set(ValueLayout.JAVA_SHORT, ALLOC_DOMID, (short) domid);
            call.set(ValueLayout.JAVA_SHORT, ALLOC_FLAGS, WRITABLE);
            call.set(ValueLayout.JAVA_INT, ALLOC_COUNT, pages);
            int result = device.ioctlControl(ALLOC_GREF, call);
            if (result >= 0) {
                long index = call.get(ValueLayout.JAVA_LONG, ALLOC_INDEX);
                result = device.mapOver(memory, 0, (long) pages * PAGE_BYTES, index, true);
            }
            if (result < 0) {
                device.close();
                return null;
            }
            int[] grefs = call.asSlice(ALLOC_REFS).toArray(ValueLayout.JAVA_INT);
            return new OwnPages(device, domid, memory.address(), grefs);
        }
    }

    int gref(int page) {
        return grefs[page];
    }

    /** True if so many bytes from an address on lie in one of the pages. */
    boolean holds(long at, int bytes) {
        long offset = at - address;
        return offset >= 0
                && offset < (long) grefs.length * PAGE_BYTES
                && (offset & PAGE_BYTES - 1) + bytes <= PAGE_BYTES;
    }

    /** An address that they hold, as an end of a copy. */
    long end(long at) {
        long offset = at - address;
        return HostGrantTable.grantedEnd(grefs[(int) (offset / PAGE_BYTES)], (int) (offset & PAGE_BYTES - 1), domid);
    }

    /** Gives the pages back to the kernel, which frees each when it is mapped no more. */
    @Override
    public void close() {
        device.close();
        BUDGET.give(grefs.length);
    }
}
