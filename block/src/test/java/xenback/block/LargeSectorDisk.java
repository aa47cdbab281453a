package xenback.block;

import xenback.block.disk.Disk;
import xenback.block.disk.DiskQueue;
import xenback.block.disk.DiskSource;
import xenback.xen.XenException;
import xenback.xen.io.Completion;
import xenback.xen.io.EventLoop;
import xenback.xen.io.ScatterList;

/** An image as a device with sectors of 4096 bytes would hold it: it is a fault to ask it for less. For this no root is needed. */
final class LargeSectorDisk implements Disk {
    static final int SECTOR_BYTES = 4096;

    /** Such a disk where the toolstack asks for the store's own sectors; else the plain image. */
    static final DiskSource WHERE_OWN_SECTOR_SIZE = (target, options) -> {
        Disk image = DiskSource.TARGETS.open(target, options);
        return options.ownSectorSize() ? new LargeSectorDisk(image) : image;
    };

    private final Disk image;

    private LargeSectorDisk(Disk image) {
        this.image = image;
    }

    @Override
    public String name() {
        return image.name();
    }

    @Override
    public long sizeBytes() {
        return image.sizeBytes();
    }

    @Override
    public int logicalBlockBytes() {
        return SECTOR_BYTES;
    }

    @Override
    public int physicalBlockBytes() {
        return SECTOR_BYTES;
    }

    @Override
    public boolean readOnly() {
        return image.readOnly();
    }

    @Override
    public boolean canFlush() {
        return image.canFlush();
    }

    @Override
    public boolean canDiscard() {
        return false;
    }

    @Override
    public boolean canWriteZeroes() {
        return false;
    }

    @Override
    public boolean takesGrantedPages() {
        return image.takesGrantedPages();
    }

    @Override
    public DiskQueue openQueue(EventLoop loop) {
        return new Queue(image.openQueue(loop));
    }

    @Override
    public void close() throws XenException {
        image.close();
    }

    private record Queue(DiskQueue image) implements DiskQueue {
        @Override
        public void read(long offsetBytes, ScatterList into, Completion done, int tag) {
            check(offsetBytes | into.totalBytes());
            image.read(offsetBytes, into, done, tag);
        }

        @Override
        public void write(long offsetBytes, ScatterList from, Completion done, int tag) {
            check(offsetBytes | from.totalBytes());
            image.write(offsetBytes, from, done, tag);
        }

        @Override
        public void flush(Completion done, int tag) {
            image.flush(done, tag);
        }

        @Override
        public void discard(long offsetBytes, long lengthBytes, boolean secure, Completion done, int tag) {
            throw new IllegalStateException("a discard that was not offered");
        }

        @Override
        public void writeZeroes(long offsetBytes, long lengthBytes, boolean mayDiscard, Completion done, int tag) {
            throw new IllegalStateException("a write of zeroes that was not offered");
        }

        @Override
        public void close() {
            image.close();
        }

        private static void check(long offsetAndLength) {
            if (offsetAndLength % SECTOR_BYTES != 0) {
                throw new IllegalStateException("less than a sector");
            }
        }
    }
}
