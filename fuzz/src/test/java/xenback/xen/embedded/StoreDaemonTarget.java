package xenback.xen.embedded;

import static xenback.fuzz.FuzzTarget.require;

import java.io.IOException;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import xenback.fuzz.FaultLog;
import xenback.fuzz.FuzzInput;
import xenback.fuzz.FuzzTarget;
import xenback.xen.store.StoreClient;
import xenback.xen.store.StorePath;
import xenback.xen.store.StorePermission;
import xenback.xen.store.wire.MessageType;
import xenback.xen.store.wire.StoreMessage;

/**
 * Any bytes on a guest's connection to the embedded xenstored: each whole message gets its one answer in order, a broken one
 * ends this connection, and domain 0's client sees its nodes as it left them.
 */
public final class StoreDaemonTarget implements FuzzTarget {
    private static final int DOMID = 3;
    private static final int MOST_BYTES = 64 << 10; // what the socket takes while nobody reads the answers
    private static final StorePath HOME = StorePath.of("/local/domain/3");
    private static final StorePath BYSTANDER = StorePath.of("/bystander/alive");
    private static final String[] WORDS = {
        "data", "/local/domain/3/data", "data/a", "/", "/local/domain/3", "/bystander/alive", "@introduceDomain", "",
        "data/b/c/d", "/local", "@releaseDomain", "data/", "//", "/tool", "a b", "/local/domain/0"
    };

    private final FaultLog log = new FaultLog();
    private final Path dir = Files.createTempDirectory("fuzz-store");
    private final Xenstored store = Xenstored.start(dir.resolve("run"));
    private final StoreClient bystander = StoreClient.connect(store.socket());
    private final ByteBuffer out = ByteBuffer.allocate(MOST_BYTES).order(ByteOrder.nativeOrder());
    private final ByteBuffer answers = ByteBuffer.allocate(64 << 10).order(ByteOrder.nativeOrder());

    /** Messages that were sent whole before anything broken. */
    private final Deque<StoreMessage> asked = new ArrayDeque<>();

    private long inputs;

    public StoreDaemonTarget() throws IOException {
        store.introduce(DOMID);
    }

    @Override
    public void run(FuzzInput in) throws Exception {
        bystander.write(HOME, "");
        bystander.setPermissions(HOME, List.of(StorePermission.parse("n3")));
        String alive = Long.toString(++inputs);
        bystander.write(BYSTANDER, alive);
        asked.clear();
        out.clear();
        boolean whole = compose(in);
        out.flip();
        try (SocketChannel channel = SocketChannel.open(UnixDomainSocketAddress.of(store.socket(DOMID)))) {
            while (out.hasRemaining()) {
                channel.write(out);
            }
            channel.shutdownOutput();
            readAnswers(channel);
        } catch (IOException e) {
            require(!whole, "hung up on a guest that broke nothing: " + e.getMessage());
        }
        require(!whole || asked.isEmpty(), asked.size() + " messages without an answer");
        require(bystander.read(BYSTANDER).orElse("").equals(alive), "a node of domain 0 has changed");
        require(bystander.isConnected(), "domain 0's connection is gone");
        bystander.remove(HOME);
        log.check();
    }

    /** False if the bytes end with something that the store may hang up on. */
    private boolean compose(FuzzInput in) {
        while (in.more() && out.remaining() > 2 * StoreMessage.MAX_BYTES) {
            if (in.rarely()) {
                byte[] noise = in.bytes(1 + in.u8());
                out.put(noise);
                return false;
            }
            int number = in.rarely() ? in.u32() : in.below(23);
            int requestId = in.u8();
            int transactionId = in.rarely() ? in.u32() : in.below(4);
            byte[] body = body(in).getBytes(StandardCharsets.ISO_8859_1);
            boolean lies = in.rarely();
            int length = lies ? in.u32() : body.length;
            out.putInt(number).putInt(requestId).putInt(transactionId).putInt(length);
            out.put(body);
            if (lies) {
                return false; // where the next message begins is anybody's guess
            }
            asked.add(new StoreMessage(MessageType.of(number), requestId, transactionId, ""));
        }
        return true;
    }

    private static String body(FuzzInput in) {
        StringBuilder body = new StringBuilder();
        int parts = in.below(4);
        for (int i = 0; i < parts && body.length() < 3000; i++) {
            String part = switch (in.below(8)) {
                case 0, 1, 2, 3 -> WORDS[in.below(WORDS.length)];
                case 4 -> "nrwb".charAt(in.below(4)) + Integer.toString(in.below(5));
                case 5 -> in.flag() ? "T" : "F";
                case 6 -> Integer.toString(in.u8());
                default -> in.text(40).repeat(1 + (in.rarely() ? in.below(20) : 0));
            };
            body.append(part);
            if (!in.rarely()) {
                body.append('\0');
            }
        }
        return body.length() > StoreMessage.MAX_BODY_BYTES ? body.substring(0, 4096) : body.toString();
    }

    /** Reads up to the end of the connection. */
    private void readAnswers(SocketChannel channel) throws IOException {
        answers.clear();
        while (channel.read(answers) >= 0) {
            answers.flip();
            int size = StoreMessage.sizeBytes(answers);
            require(size >= 0, "an answer longer than the protocol allows");
            while (size > 0 && answers.remaining() >= size) {
                StoreMessage answer = StoreMessage.decode(answers);
                if (answer.type() != MessageType.WATCH_EVENT) {
                    checkAnswer(answer);
                }
                size = StoreMessage.sizeBytes(answers);
            }
            answers.compact();
        }
    }

    private void checkAnswer(StoreMessage answer) {
        StoreMessage question = asked.poll();
        if (question == null) {
            return; // to something in the noise
        }
        boolean belongs = answer.requestId() == question.requestId()
                && answer.transactionId() == question.transactionId()
                && (answer.type() == question.type() || answer.type() == MessageType.ERROR);
        require(belongs, answer + " is no answer to " + question);
    }

    @Override
    public void close() throws IOException {
        bystander.close();
        store.close();
        log.close();
        Files.deleteIfExists(dir.resolve("run"));
        Files.deleteIfExists(dir);
    }
}
