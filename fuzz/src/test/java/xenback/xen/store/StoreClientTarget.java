package xenback.xen.store;

import static xenback.fuzz.FuzzTarget.require;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.atomic.AtomicInteger;
import xenback.fuzz.FaultLog;
import xenback.fuzz.FuzzInput;
import xenback.fuzz.FuzzTarget;
import xenback.xen.store.wire.MessageType;
import xenback.xen.store.wire.StoreMessage;

/**
 * A daemon that answers anything: every call of the client ends, with a value or with a StoreException, and no thread of it
 * dies of what it was sent.
 */
public final class StoreClientTarget implements FuzzTarget {
    private static final StorePath PATH = StorePath.of("/local/domain/7");
    private static final int MOST_CALLS = 32;

    /** The client waits after each, longer and longer. */
    private static final int MOST_CONFLICTS = 2;

    private final FaultLog log = new FaultLog();

    /** On a virtual thread, as the client's own: a call goes from thread to thread, which so costs next to nothing. */
    @Override
    public void run(FuzzInput in) throws Exception {
        FutureTask<Boolean> calls = new FutureTask<>(() -> {
            call(in);
            return true;
        });
        Thread.ofVirtual().start(calls);
        try {
            calls.get();
        } catch (ExecutionException e) {
            throw new AssertionError(e.getCause());
        }
        log.check();
    }

    private static void call(FuzzInput in) throws IOException {
        Daemon daemon = new Daemon(in);
        AtomicInteger opened = new AtomicInteger();
        StoreClient client = StoreClient.open(
                () -> {
                    if (opened.getAndIncrement() > 0) {
                        throw new IOException("this daemon comes once");
                    }
                    return daemon;
                },
                (name, body) -> Thread.ofVirtual().name(name).unstarted(body));
        try {
            for (int i = 0; i < MOST_CALLS && in.more() && client.isConnected(); i++) {
                call(client, in);
            }
        } finally {
            daemon.close();
            client.close();
        }
    }

    private static void call(StoreClient client, FuzzInput in) {
        try {
            switch (in.below(8)) {
                case 0 -> client.read(PATH);
                case 1 -> client.directory(PATH);
                case 2 -> client.exists(PATH);
                case 3 -> client.write(PATH, in.text(20));
                case 4 -> client.permissions(PATH);
                case 5 -> client.transaction(access -> access.read(PATH));
                case 6 -> client.watch(PATH, StoreClientTarget::look).close();
                default -> client.domainPath(in.u16());
            }
        } catch (StoreException e) {
            require(e.getMessage().chars().allMatch(unit -> unit >= ' ' && unit <= '~'), "octets in a message: " + e);
        }
    }

    private static void look(List<String> changed) {
        require(!changed.isEmpty(), "an event without a path");
    }

    /** Answers each message as the input says; the client's thread sends, its reader receives. */
    private static final class Daemon implements StoreTransport {
        private static final byte[] END = {};

        private final FuzzInput in;
        private final BlockingQueue<byte[]> toClient = new LinkedBlockingQueue<>();
        private byte[] current = {};
        private int at;
        private int conflicts;

        Daemon(FuzzInput in) {
            this.in = in;
        }

        @Override
        public int maxBodyBytes() {
            return StoreMessage.MAX_BODY_BYTES;
        }

        @Override
        public int maxInFlight() {
            return 1; // one thread asks
        }

        @Override
        public void send(ByteBuffer message) {
            if (!in.more()) {
                toClient.add(END);
                return;
            }
            StoreMessage question = StoreMessage.decode(message);
            while (in.rarely()) {
                stray(question);
            }
            boolean wrongType = in.rarely();
            int type = wrongType
                    ? in.u32()
                    : in.flag() ? MessageType.ERROR.number() : question.type().number();
            int transaction = in.rarely() ? in.u32() : question.transactionId();
            String body = body(question.type(), type);
            int length = in.rarely() ? in.u32() : body.length();
            ByteBuffer answer = ByteBuffer.allocate(16 + body.length()).order(ByteOrder.nativeOrder());
            answer.putInt(type).putInt(question.requestId()).putInt(transaction).putInt(length);
            answer.put(body.getBytes(java.nio.charset.StandardCharsets.ISO_8859_1));
            byte[] octets = answer.array();
            int cut = in.rarely() ? in.below(octets.length + 1) : octets.length;
            add(java.util.Arrays.copyOfRange(octets, 0, cut));
            add(java.util.Arrays.copyOfRange(octets, cut, octets.length));
            if (wrongType || length != body.length() || type == MessageType.WATCH_EVENT.number()) {
                toClient.add(END); // nothing may have answered, and the caller would wait for ever, as it should
            }
        }

        /** Something that nobody asked for: an event, an answer to nobody, noise. */
        private void stray(StoreMessage question) {
            switch (in.below(3)) {
                case 0 -> put(MessageType.WATCH_EVENT, 0, "/local/domain/7\0xenback-" + in.below(4) + '\0');
                case 1 -> put(MessageType.WATCH_EVENT, 0, in.text(60));
                default -> put(question.type(), question.requestId() + 1 + in.u8(), in.text(20));
            }
        }

        private void put(MessageType type, int requestId, String body) {
            ByteBuffer bytes = ByteBuffer.allocate(16 + body.length()).order(ByteOrder.nativeOrder());
            new StoreMessage(type, requestId, 0, body).encode(bytes);
            add(bytes.array());
        }

        private String body(MessageType asked, int type) {
            if (in.rarely()) {
                return in.text(255).repeat(1 + in.below(16));
            }
            if (type == MessageType.ERROR.number()) {
                String[] names = {"ENOENT", "EAGAIN", "E2BIG", "EACCES", "ENOSYS", "what", ""};
                String name = names[in.below(names.length)];
                return (name.equals("EAGAIN") && conflicts++ >= MOST_CONFLICTS ? names[0] : name) + '\0';
            }
            return switch (asked) {
                case TRANSACTION_START -> Integer.toUnsignedString(in.u8()) + '\0';
                case DIRECTORY -> "a\0b\0";
                case DIRECTORY_PART -> in.u8() + "\0" + "name\0".repeat(in.below(40)) + (in.flag() ? "\0" : "");
                case GET_PERMS -> "n7\0r0\0";
                case GET_DOMAIN_PATH -> "/local/domain/7\0";
                case READ -> in.text(200);
                default -> "OK\0";
            };
        }

        private void add(byte[] octets) {
            if (octets.length > 0) {
                toClient.add(octets);
            }
        }

        @Override
        public int receive(ByteBuffer into) throws IOException {
            if (at == current.length) {
                try {
                    current = toClient.take();
                } catch (InterruptedException e) {
                    throw new IOException(e);
                }
                at = 0;
                if (current.length == 0) {
                    return -1;
                }
            }
            int count = Math.min(into.remaining(), current.length - at);
            into.put(current, at, count);
            at += count;
            return count;
        }

        @Override
        public void close() {
            toClient.add(END);
        }
    }
}
