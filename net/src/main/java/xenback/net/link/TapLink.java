package xenback.net.link;

import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import xenback.net.packet.Mac;
import xenback.xen.Errno;
import xenback.xen.XenException;
import xenback.xen.io.Completion;
import xenback.xen.io.EventLoop;
import xenback.xen.io.Tap;

/**
 * A TAP device: frames go to this machine's kernel as if they came in by a cable, with what is left undone of checksums and
 * large frames, so that a bridge can hand them on and only the last device has to finish them.
 */
public final class TapLink implements Link {
    private static final System.Logger LOG = System.getLogger(TapLink.class.getName());

    private final List<Tap> taps;

    private TapLink(List<Tap> taps) {
        this.taps = List.copyOf(taps);
    }

    /**
     * Makes the device, or takes one that was made before and is free; it is not switched on. All its queues are made now, for
     * by its name it cannot be found any more once it was moved to another network namespace; the kernel gives frames to the
     * first and to those that are open.
     */
    public static TapLink open(String name, int queues) throws XenException {
        return open(queues, () -> Tap.open(name, queues > 1));
    }

    /** The same in another network namespace, as {@link xenback.xen.io.NetworkNamespace#named} names it. */
    public static TapLink open(String name, int queues, Path namespace) throws XenException {
        return open(queues, () -> Tap.open(name, queues > 1, namespace));
    }

    private interface Opener {
        Tap open() throws XenException;
    }

    private static TapLink open(int queues, Opener opener) throws XenException {
        List<Tap> taps = new ArrayList<>();
        try {
            for (int i = 0; i < queues; i++) {
                Tap tap = opener.open();
                taps.add(tap);
                if (i > 0) {
                    tap.setAttached(false);
                }
            }
            return new TapLink(taps);
        } catch (XenException e) {
            taps.forEach(Tap::close);
            throw e;
        }
    }

    @Override
    public String name() {
        return taps.getFirst().name();
    }

    @Override
    public LinkQueue openQueue(int number) throws XenException {
        if (number >= taps.size()) {
            throw new XenException(Errno.EINVAL, name() + " has " + taps.size() + " queues");
        }
        Tap tap = taps.get(number);
        if (number > 0) {
            tap.setAttached(true);
        }
        return new Queue(tap, number);
    }

    /** Switches it on. */
    public void up() throws XenException {
        taps.getFirst().up();
    }

    @Override
    public int mtu() throws XenException {
        return taps.getFirst().mtu();
    }

    @Override
    public void setMtu(int bytes) throws XenException {
        taps.getFirst().setMtu(bytes);
    }

    @Override
    public void setMac(Mac mac) throws XenException {
        taps.getFirst().setMac(mac.value());
    }

    @Override
    public boolean isUp() throws XenException {
        return taps.getFirst().isUp();
    }

    @Override
    public void setCarrier(boolean on) throws XenException {
        taps.getFirst().setCarrier(on);
    }

    @Override
    public void close() {
        taps.forEach(Tap::close);
    }

    private record Queue(Tap tap, int number) implements LinkQueue {
        @Override
        public int receive(MemorySegment into, long offset, int capacity) {
            return tap.tryRead(into, offset, capacity);
        }

        @Override
        public int send(MemorySegment from, long offset, int bytes) {
            return tap.write(from, offset, bytes);
        }

        @Override
        public int sendSoon(EventLoop loop, MemorySegment from, long offset, int bytes, Completion done, int tag) {
            tap.write(loop, from, offset, bytes, done, tag);
            return SOON;
        }

        @Override
        public void awaitFrame(EventLoop loop, Completion done, int tag) {
            loop.poll(tap.fd(), EventLoop.POLLIN, done, tag);
        }

        @Override
        public void stopAwaiting(EventLoop loop, Completion done, int tag) {
            loop.cancelPoll(done, tag);
        }

        @Override
        public void setOffload(int mask) throws XenException {
            tap.setOffload(mask);
        }

        @Override
        public void close() {
            if (number > 0) {
                try {
                    tap.setAttached(false);
                } catch (XenException e) {
                    LOG.log(System.Logger.Level.WARNING, e.getMessage());
                }
            }
        }
    }
}
