package xenback.xen.store;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.ClosedChannelException;
import java.nio.file.Path;
import xenback.xen.Errno;
import xenback.xen.io.DeviceFile;
import xenback.xen.io.EventFd;
import xenback.xen.store.wire.StoreMessage;

/**
 * The way through the kernel, /dev/xen/xenbus, for any domain. One write is one message, whose header counts against the
 * kernel's buffer of 4096; a watch that is refused makes the write fail, and nothing is answered then.
 *
 * <p>One request at a time, though Linux takes more. A descriptor has one buffer, and the kernel's own thread copies a request
 * out of it to the daemon after write has returned (xenbus_write_transaction, xenbus_dev_request_and_reply): a second write
 * before the first one's answer changes what the daemon is asked first. A C daemon that is asked so for a path with a NUL in it
 * dies (4.17.5, {@code consider_message: conn->in == NULL}), and the host's store with it. And a watch that is registered while
 * another answer is due never ends: its write holds the lock without which that answer cannot be handed over
 * (xenbus_dev_queue_reply). Both were seen with 6.1.176.
 */
final class XenbusTransport implements StoreTransport {
    private final DeviceFile device;
    private final EventFd wake;
    private final Arena arena = Arena.ofAuto();
    private final MemorySegment outgoing = arena.allocate(StoreMessage.MAX_BYTES);
    private final MemorySegment incoming = arena.allocate(StoreMessage.MAX_BYTES);
    private volatile boolean closed;

    private XenbusTransport(DeviceFile device, EventFd wake) {
        this.device = device;
        this.wake = wake;
    }

    static XenbusTransport open(Path path) throws IOException {
        DeviceFile device = DeviceFile.open(path);
        try {
            return new XenbusTransport(device, EventFd.create());
        } catch (IOException e) {
            device.close();
            throw e;
        }
    }

    @Override
    public int maxBodyBytes() {
        return StoreMessage.MAX_BODY_BYTES - StoreMessage.HEADER_BYTES;
    }

    @Override
    public int maxInFlight() {
        return 1;
    }

    @Override
    public void send(ByteBuffer message) throws IOException {
        int bytes = message.remaining();
        MemorySegment.copy(MemorySegment.ofBuffer(message), 0, outgoing, 0, bytes);
        int result = device.writeControl(outgoing, bytes);
        if (result < 0) {
            throw new StoreException(Errno.of(-result), "write to the kernel");
        }
        if (result != bytes) {
            throw new IOException("the kernel took " + result + " of " + bytes + " bytes");
        }
    }

    @Override
    public int receive(ByteBuffer into) throws IOException {
        while (!closed && device.awaitReadable(wake)) {
            int count = device.read(incoming, Math.min(into.remaining(), StoreMessage.MAX_BYTES));
            if (count > 0) {
                into.put(incoming.asSlice(0, count).asByteBuffer());
                return count;
            }
            if (count != -Errno.EAGAIN.number() && count != -Errno.EINTR.number()) {
                return -1;
            }
        }
        // Only the reader closes the descriptor: under its feet the number could become another file's.
        device.close();
        wake.close();
        throw new ClosedChannelException();
    }

    @Override
    public void close() {
        closed = true;
        wake.signal();
    }
}
