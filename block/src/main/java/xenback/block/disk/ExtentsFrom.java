package xenback.block.disk;

import xenback.xen.XenException;
import xenback.xen.io.EventLoop;

/**
 * A guest's disk together with what its image knows of holes. blkif has no word for allocation, so on the embedded Xen, where
 * both ends are at hand, the question goes past the ring; a write that the guest saw completed is in the image by then, so
 * it is never called a hole.
 *
 * @param next serves everything else; owned by the caller
 * @param image answers {@link #nextExtent}; owned by the backend, and must stay open as long as this is used
 */
public record ExtentsFrom(Disk next, Disk image) implements Disk {
    @Override
    public String name() {
        return next.name();
    }

    @Override
    public long sizeBytes() {
        return next.sizeBytes();
    }

    @Override
    public boolean refreshSize(boolean mayShrink) throws XenException {
        return next.refreshSize(mayShrink);
    }

    @Override
    public int logicalBlockBytes() {
        return next.logicalBlockBytes();
    }

    @Override
    public int physicalBlockBytes() {
        return next.physicalBlockBytes();
    }

    @Override
    public boolean readOnly() {
        return next.readOnly();
    }

    @Override
    public boolean canFlush() {
        return next.canFlush();
    }

    @Override
    public boolean canDiscard() {
        return next.canDiscard();
    }

    @Override
    public int discardGranularityBytes() {
        return next.discardGranularityBytes();
    }

    @Override
    public int discardAlignmentBytes() {
        return next.discardAlignmentBytes();
    }

    @Override
    public boolean canDiscardSecurely() {
        return next.canDiscardSecurely();
    }

    @Override
    public boolean takesGrantedPages() {
        return next.takesGrantedPages();
    }

    @Override
    public boolean canWriteZeroes() {
        return next.canWriteZeroes();
    }

    @Override
    public boolean knowsExtents() {
        return image.knowsExtents();
    }

    @Override
    public long nextExtent(long offsetBytes, long lengthBytes) throws XenException {
        return image.nextExtent(offsetBytes, lengthBytes);
    }

    @Override
    public DiskQueue openQueue(EventLoop loop) {
        return next.openQueue(loop);
    }

    @Override
    public void close() throws XenException {
        next.close();
    }
}
