package xenback.daemon;

import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;

/**
 * Answers {@code xenback list}, {@code sysctl} and {@code capture} on a socket in the run directory, which only its owner can
 * enter. A client sends one line, words with tabs between them; the answer is a line with an {@link ExitCode}'s number, a blank and
 * a message, and then text or a pcapng file up to the end of the stream.
 */
final class ControlServer implements AutoCloseable {
    /** Its name in the run directory. */
    static final String SOCKET = "control.sock";

    private static final int LONGEST_REQUEST_BYTES = 8192;
    private static final int MOST_CLIENTS = 64;
    private static final int END_PATIENCE_SECONDS = 2;

    private final ServerSocketChannel listener;
    private final Path socket;
    private final Semaphore places = new Semaphore(MOST_CLIENTS);
    private final Set<SocketChannel> clients = ConcurrentHashMap.newKeySet();

    private ControlServer(ServerSocketChannel listener, Path socket) {
        this.listener = listener;
        this.socket = socket;
    }

    /** Makes the socket. Who comes before {@link #serve} waits: it is there before anybody is told of a device. */
    static ControlServer open(Path socket) throws IOException {
        ServerSocketChannel listener = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
        try {
            listener.bind(UnixDomainSocketAddress.of(socket));
            return new ControlServer(listener, socket);
        } catch (IOException e) {
            listener.close();
            throw e;
        }
    }

    /** Begins to answer. Once. */
    void serve(Serving serving) {
        Inspector inspector = new Inspector(serving);
        Thread.ofVirtual().name("control").start(() -> accept(inspector));
    }

    @Override
    public void close() throws IOException {
        listener.close();
        Files.deleteIfExists(socket);
        for (SocketChannel client : clients) {
            try {
                client.shutdownInput(); // which ends its capture
            } catch (IOException gone) {
                // It has ended by itself.
            }
        }
        try {
            if (places.tryAcquire(MOST_CLIENTS, END_PATIENCE_SECONDS, TimeUnit.SECONDS)) {
                return;
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        for (SocketChannel client : clients) {
            client.close();
        }
    }

    private void accept(Inspector inspector) {
        try {
            while (true) {
                places.acquire();
                SocketChannel client = acceptOne();
                clients.add(client);
                Thread.ofVirtual().name("control-client").start(() -> serve(client, inspector));
            }
        } catch (IOException | InterruptedException closed) {
            // The end of serving.
        }
    }

    private SocketChannel acceptOne() throws IOException {
        try {
            return listener.accept();
        } catch (IOException e) {
            places.release();
            throw e;
        }
    }

    private void serve(SocketChannel client, Inspector inspector) {
        try (client) {
            List<String> words = Arrays.asList(readLine(client).split("\t", -1));
            try {
                answer(client, inspector, words);
            } catch (UserError e) {
                write(client, e.exitCode().status() + " " + e.getMessage() + "\n");
            }
        } catch (IOException gone) {
            // A client that goes before its answer has no use for it.
        } finally {
            clients.remove(client);
            places.release();
        }
    }

    private void answer(SocketChannel client, Inspector inspector, List<String> words) throws UserError, IOException {
        List<String> arguments = words.subList(1, words.size());
        switch (words.getFirst()) {
            case "list" -> write(client, "0 \n" + inspector.list(arguments.contains("--json")));
            case "sysctl" -> write(client, "0 \n" + inspector.sysctl(arguments));
            case "capture" -> {
                List<NicView> nics = inspector.capturable(arguments);
                CaptureSession.run(client, nics, () -> write(client, "0 \n"));
            }
            default -> throw UserError.usage("unknown request; is it another version that serves?");
        }
    }

    private static String readLine(SocketChannel client) throws IOException {
        ByteBuffer bytes = ByteBuffer.allocate(LONGEST_REQUEST_BYTES);
        while (client.read(bytes) >= 0) {
            String text = new String(bytes.array(), 0, bytes.position(), StandardCharsets.UTF_8);
            int end = text.indexOf('\n');
            if (end >= 0) {
                return text.substring(0, end);
            }
            if (!bytes.hasRemaining()) {
                throw new IOException("a request that has no end");
            }
        }
        throw new IOException("no request");
    }

    private static void write(SocketChannel client, String text) throws IOException {
        ByteBuffer bytes = ByteBuffer.wrap(text.getBytes(StandardCharsets.UTF_8));
        while (bytes.hasRemaining()) {
            client.write(bytes);
        }
    }
}
