package xenback.xen.host;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;
import xenback.xen.Errno;
import xenback.xen.XenException;
import xenback.xen.grant.GrantCopyBatch;
import xenback.xen.grant.GrantMapping;
import xenback.xen.grant.GrantStatus;
import xenback.xen.grant.GrantTable;
import xenback.xen.grant.GrantWindow;
import xenback.xen.io.DeviceFile;
import xenback.xen.io.Mapping;

/**
 * One open /dev/xen/gntdev (uapi/xen/gntdev.h). {@link #copy} belongs to one thread; mapping to any.
 */
final class HostGrantTable implements GrantTable {
    private static final Path DEVICE = Path.of("/dev/xen/gntdev");
    private static final int PAGE_BYTES = GrantCopyBatch.PAGE_BYTES;

    // The size in MAP_GRANT_REF's number is that of one reference, however many there are.
    private static final long MAP_GRANT_REF = 0x00184700L;
    private static final long UNMAP_GRANT_REF = 0x00104701L;
    private static final long GRANT_COPY = 0x00104708L;

    // struct ioctl_gntdev_map_grant_ref
    private static final long MAP_COUNT = 0; // u32
    private static final long MAP_INDEX = 8; // u64, out
    private static final long MAP_REFS = 16; // {u32 domid, u32 ref} each

    // struct ioctl_gntdev_unmap_grant_ref
    private static final long UNMAP_INDEX = 0; // u64
    private static final long UNMAP_COUNT = 8; // u32

    // struct ioctl_gntdev_grant_copy
    private static final long COPY_COUNT = 0; // u32
    private static final long COPY_SEGMENTS = 8; // pointer

    // struct gntdev_grant_copy_segment: two ends, each an address u64, or ref u32 @0, offset u16 @4, domid u16 @6;
    // length u16 @16, flags u16 @18, status s16 @20 (out). Written as three words, little-endian as every machine that
    // Xen runs on: a copy of 4 KiB is no more than some tens of instructions, and so must be what describes it.
    private static final long SEGMENT_BYTES = 24;
    private static final long SEGMENT_SOURCE = 0;
    private static final long SEGMENT_TARGET = 8;
    private static final long SEGMENT_REST = 16;
    private static final long SEGMENT_STATUS = 20;
    private static final long SOURCE_IS_GRANT = 1L << 16;
    private static final long TARGET_IS_GRANT = 2L << 16;
    private static final long UNDONE = (GrantStatus.GENERAL_ERROR & 0xFFFFL) << 32;

    // What is exact and constant costs little even before the optimising compiler has come to it.
    private static final VarHandle LONG_AT = ValueLayout.JAVA_LONG.varHandle().withInvokeExactBehavior();
    private static final VarHandle SHORT_AT = ValueLayout.JAVA_SHORT.varHandle().withInvokeExactBehavior();

    /** How often a page that Xen has paged out is asked for, a millisecond apart. */
    private static final int PAGED_OUT_RETRIES = 100;

    private static final int SEGMENTS_PER_CALL = 512;

    /** What a burst of the largest frames to a guest takes: 17 pages each, and one for the first header. */
    private static final int MOST_OWN_PAGES = 1 + 5 * 17;

    private static final long PROBE = 0x786e_6261_636b_2b31L;

    private final Arena arena = Arena.ofShared();
    private final DeviceFile device;
    private final MemorySegment segments = arena.allocate(SEGMENT_BYTES * SEGMENTS_PER_CALL, 8);
    private final MemorySegment call = arena.allocate(16, 8);

    private final int domid;

    /** The first pages of what {@link #allocateLocal} gave first. */
    private @Nullable OwnPages own;

    private HostGrantTable(DeviceFile device, int domid) {
        this.device = device;
        this.domid = domid;
        call.set(ValueLayout.JAVA_LONG, COPY_SEGMENTS, segments.address());
    }

    static HostGrantTable open(int domid) throws XenException {
        return new HostGrantTable(DeviceFile.open(DEVICE), domid);
    }

    @Override
    public GrantMapping map(int domid, int[] grefs, boolean writable) throws XenException {
        String what = "map " + grefs.length + " grants of domain " + domid;
        try (Arena scratch = Arena.ofConfined()) {
            MemorySegment map = scratch.allocate(MAP_REFS + 8L * grefs.length, 8);
            map.set(ValueLayout.JAVA_INT, MAP_COUNT, grefs.length);
            for (int i = 0; i < grefs.length; i++) {
                map.set(ValueLayout.JAVA_INT, MAP_REFS + 8L * i, domid);
                map.set(ValueLayout.JAVA_INT, MAP_REFS + 8L * i + 4, grefs[i]);
            }
            device.ioctlChecked(what, MAP_GRANT_REF, map);
            long index = map.get(ValueLayout.JAVA_LONG, MAP_INDEX);
            for (int attempt = 0; ; attempt++) {
                try {
                    return new Mapped(index, grefs.length, writable);
                } catch (XenException e) {
                    if (e.errno() != Errno.EAGAIN || attempt == PAGED_OUT_RETRIES) {
                        unmap(index, grefs.length); // due even when mmap refused (gntdev.c)
                        throw new XenException(e.errno(), what + ": refused: " + e.errno(), e);
                    }
                }
                LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(1));
            }
        }
    }

    @Override
    public GrantWindow openWindow(int domid, int places) throws XenException {
        return new Window(domid, places);
    }

    @Override
    public MemorySegment allocateLocal(Arena owner, long bytes) {
        MemorySegment memory;
        try {
            memory = Mapping.anonymous(owner, bytes);
        } catch (XenException e) {
            return owner.allocate(bytes, PAGE_BYTES); // it has the words for what is wrong
        }
        int pages = (int) Math.min(MOST_OWN_PAGES, bytes / PAGE_BYTES);
        if (own == null && pages > 1) {
            own = OwnPages.at(memory, pages, domid);
            if (own != null && !canCopy(own, memory)) {
                own.close();
                own = null;
                Mapping.unmapOver(memory, 0, (long) pages * PAGE_BYTES);
            }
        }
        return memory;
    }

    /** Whether this hypervisor copies for a domain between its own grants: tried, for a guest would pay for it. */
    private boolean canCopy(OwnPages pages, MemorySegment memory) {
        GrantCopyBatch batch = new GrantCopyBatch(GrantCopyBatch.Direction.TO_GUEST, 1);
        batch.add(domid, pages.gref(1), 0, memory, 0, Long.BYTES);
        memory.set(ValueLayout.JAVA_LONG, 0, PROBE);
        boolean copied = copy(batch) == 0 && memory.get(ValueLayout.JAVA_LONG, PAGE_BYTES) == PROBE;
        memory.set(ValueLayout.JAVA_LONG, 0, 0);
        memory.set(ValueLayout.JAVA_LONG, PAGE_BYTES, 0);
        return copied;
    }

    @Override
    public int copy(GrantCopyBatch batch) {
        int failed = 0;
        for (int first = 0; first < batch.count(); first += SEGMENTS_PER_CALL) {
            failed += copy(batch, first, Math.min(SEGMENTS_PER_CALL, batch.count() - first));
        }
        return failed;
    }

    @Override
    public void close() {
        if (own != null) {
            own.close();
        }
        device.close();
        arena.close();
    }

    private int copy(GrantCopyBatch batch, int first, int count) {
        boolean toGuest = batch.direction() == GrantCopyBatch.Direction.TO_GUEST;
        for (int i = 0; i < count; i++) {
            fill(batch, first + i, SEGMENT_BYTES * i, toGuest);
        }
        call.set(ValueLayout.JAVA_INT, COPY_COUNT, count);
        // After an error some segments may have been copied: then none is called good.
        boolean performed = device.tryIoctl(GRANT_COPY, call) == 0;
        int failed = 0;
        for (int i = 0; i < count; i++) {
            short status = performed
                    ? (short) SHORT_AT.get(segments, SEGMENT_BYTES * i + SEGMENT_STATUS)
                    : GrantStatus.GENERAL_ERROR;
            if (status == GrantStatus.EAGAIN) {
                status = copyAgain(batch, first + i, toGuest);
            }
            batch.setStatus(first + i, status);
            if (status != GrantStatus.OKAY) {
                failed++;
            }
        }
        return failed;
    }

    /** One segment whose page was paged out; the guest waits for its own page, and the loop with it, for a bounded time. */
    private short copyAgain(GrantCopyBatch batch, int entry, boolean toGuest) {
        for (int attempt = 0; attempt < PAGED_OUT_RETRIES; attempt++) {
            LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(1));
            short status = copyOne(batch, entry, toGuest);
            if (status != GrantStatus.EAGAIN) {
                return status;
            }
        }
        return GrantStatus.EAGAIN;
    }

    private short copyOne(GrantCopyBatch batch, int entry, boolean toGuest) {
        try (Arena scratch = Arena.ofConfined()) {
            MemorySegment one = scratch.allocate(SEGMENT_BYTES, 8);
            MemorySegment again = scratch.allocate(16, 8);
            fill(one, batch, entry, 0, toGuest);
            again.set(ValueLayout.JAVA_INT, COPY_COUNT, 1);
            again.set(ValueLayout.JAVA_LONG, COPY_SEGMENTS, one.address());
            return device.tryIoctl(GRANT_COPY, again) == 0
                    ? one.get(ValueLayout.JAVA_SHORT, SEGMENT_STATUS)
                    : GrantStatus.GENERAL_ERROR;
        }
    }

    private void fill(GrantCopyBatch batch, int entry, long at, boolean toGuest) {
        fill(segments, batch, entry, at, toGuest);
    }

    private void fill(MemorySegment into, GrantCopyBatch batch, int entry, long at, boolean toGuest) {
        LONG_AT.set(
                into,
                at + (toGuest ? SEGMENT_TARGET : SEGMENT_SOURCE),
                grantedEnd(batch.gref(entry), batch.pageOffset(entry), batch.domid(entry)));
        long local = batch.local(entry).address() + batch.localOffset(entry);
        long grants = toGuest ? TARGET_IS_GRANT : SOURCE_IS_GRANT;
        OwnPages pages = own;
        if (pages != null && pages.holds(local, batch.length(entry))) {
            local = pages.end(local);
            grants = TARGET_IS_GRANT | SOURCE_IS_GRANT;
        }
        LONG_AT.set(into, at + (toGuest ? SEGMENT_SOURCE : SEGMENT_TARGET), local);
        LONG_AT.set(into, at + SEGMENT_REST, batch.length(entry) | grants | UNDONE);
    }

    /** The granted end of a copy in a segment of the call. */
    static long grantedEnd(int gref, int offset, int domid) {
        return Integer.toUnsignedLong(gref) | (long) offset << 32 | (long) domid << 48;
    }

    private void unmap(long index, int count) {
        try (Arena scratch = Arena.ofConfined()) {
            MemorySegment unmap = scratch.allocate(16, 8);
            unmap.set(ValueLayout.JAVA_LONG, UNMAP_INDEX, index);
            unmap.set(ValueLayout.JAVA_INT, UNMAP_COUNT, count);
            device.ioctlControl(UNMAP_GRANT_REF, unmap);
        }
    }

    private final class Window implements GrantWindow {
        private static final long EMPTY = -1; // no index: those are page-aligned

        private final int domid;
        private final Arena owner = Arena.ofShared();
        private final MemorySegment memory;
        private final MemorySegment request = owner.allocate(MAP_REFS + 8, 8);
        private final long[] indexes;
        private boolean closed;

        Window(int domid, int places) throws XenException {
            this.domid = domid;
            indexes = new long[places];
            Arrays.fill(indexes, EMPTY);
            try {
                memory = Mapping.anonymous(owner, (long) places * PAGE_BYTES);
            } catch (XenException e) {
                owner.close();
                throw e;
            }
        }

        @Override
        public MemorySegment memory() {
            return memory;
        }

        @Override
        public boolean put(int place, int gref, boolean writable) {
            request.set(ValueLayout.JAVA_INT, MAP_COUNT, 1);
            request.set(ValueLayout.JAVA_INT, MAP_REFS, domid);
            request.set(ValueLayout.JAVA_INT, MAP_REFS + 4, gref);
            if (device.ioctlControl(MAP_GRANT_REF, request) < 0) {
                return false;
            }
            long index = request.get(ValueLayout.JAVA_LONG, MAP_INDEX);
            if (device.mapOver(memory, (long) place * PAGE_BYTES, PAGE_BYTES, index, writable) < 0) {
                unmap(index, 1); // due even when mmap refused (gntdev.c)
                return false;
            }
            indexes[place] = index;
            return true;
        }

        @Override
        public void remove(int place) {
            Mapping.unmapOver(memory, (long) place * PAGE_BYTES, PAGE_BYTES); // first, see Mapped.close
            unmap(indexes[place], 1);
            indexes[place] = EMPTY;
        }

        @Override
        public void close() {
            if (closed) {
                return;
            }
            closed = true;
            owner.close();
            for (long index : indexes) {
                if (index != EMPTY) {
                    unmap(index, 1);
                }
            }
        }
    }

    private final class Mapped implements GrantMapping {
        private final long index;
        private final int count;
        private final Arena owner = Arena.ofShared();
        private final MemorySegment memory;
        private boolean closed;

        Mapped(long index, int count, boolean writable) throws XenException {
            this.index = index;
            this.count = count;
            try {
                memory = device.map(owner, index, (long) count * PAGE_BYTES, writable);
            } catch (XenException e) {
                owner.close();
                throw e;
            }
        }

        @Override
        public MemorySegment memory() {
            return memory;
        }

        @Override
        public synchronized void close() {
            if (!closed) {
                closed = true;
                owner.close(); // munmap, and only then the ioctl: a range is unmapped as a whole
                unmap(index, count);
            }
        }
    }
}
