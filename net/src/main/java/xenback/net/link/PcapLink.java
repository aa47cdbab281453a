package xenback.net.link;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import xenback.xen.Errno;
import xenback.xen.XenException;
import xenback.xen.io.Completion;
import xenback.xen.io.EventLoop;

/** A cable that ends in a pcapng file: what the guest sends is written there, as it would be on a wire. */
public final class PcapLink extends SoftLink {
    private static final System.Logger LOG = System.getLogger(PcapLink.class.getName());

    private final Capture capture;

    private PcapLink(String name, Capture capture) {
        super(name);
        this.capture = capture;
    }

    /** Begins the file; one that is there is overwritten. */
    public static PcapLink open(String name, Path file) throws XenException {
        try {
            FileChannel channel = FileChannel.open(
                    file, StandardOpenOption.WRITE, StandardOpenOption.CREATE, StandardOpenOption.TRUNCATE_EXISTING);
            return new PcapLink(name, Capture.start(channel, List.of(name)));
        } catch (IOException e) {
            throw new XenException(Errno.EIO, file + ": cannot be written: " + e, e);
        }
    }

    @Override
    public LinkQueue openQueue(int number) {
        return new Queue();
    }

    @Override
    public void close() {
        try {
            capture.close();
        } catch (IOException e) {
            LOG.log(System.Logger.Level.WARNING, "{0}: {1}", name(), e.toString());
        }
    }

    private final class Queue implements LinkQueue {
        private final Finisher finisher = new Finisher();
        private final Finisher.Sink sink = (memory, at, bytes) -> capture.put(0, Capture.Way.IN, memory, at, bytes);

        @Override
        public int receive(MemorySegment into, long offset, int capacity) {
            return -Errno.EAGAIN.number();
        }

        @Override
        public int send(MemorySegment from, long offset, int bytes) {
            return finisher.finish(from, offset, bytes, sink);
        }

        @Override
        public void awaitFrame(EventLoop loop, Completion done, int tag) {
            // A file sends nothing.
        }

        @Override
        public void setOffload(int mask) {}

        @Override
        public void close() {}
    }
}
