package xenback.daemon;

import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** The other end of a {@link ControlServer}: one request to the {@code serve} that is asked. */
final class ControlClient implements AutoCloseable {
    private final SocketChannel socket;
    private final InputStream answer;

    private ControlClient(SocketChannel socket) {
        this.socket = socket;
        answer = new BufferedInputStream(Channels.newInputStream(socket));
    }

    /**
     * Sends a request and reads what became of it.
     *
     * @param runDir of the serve that is meant; if none is named, there must be just one
     * @throws UserError that nothing answers, or what it answers
     */
    static ControlClient ask(@Nullable Path runDir, List<String> words) throws UserError, IOException {
        ControlClient client = new ControlClient(runDir != null ? connect(runDir) : connectToOne());
        try {
            client.send(words);
            return client;
        } catch (UserError | IOException e) {
            client.close();
            throw e;
        }
    }

    /** What follows, up to the end of the stream. */
    InputStream answer() {
        return answer;
    }

    /** Has a capture end. */
    void end() throws IOException {
        socket.shutdownOutput();
    }

    @Override
    public void close() throws IOException {
        socket.close();
    }

    private void send(List<String> words) throws UserError, IOException {
        ByteBuffer line = ByteBuffer.wrap((String.join("\t", words) + "\n").getBytes(StandardCharsets.UTF_8));
        while (line.hasRemaining()) {
            socket.write(line);
        }
        ByteArrayOutputStream status = new ByteArrayOutputStream();
        for (int octet = answer.read(); octet != '\n'; octet = answer.read()) {
            if (octet < 0) {
                throw UserError.failure("the running xenback has ended");
            }
            status.write(octet);
        }
        String text = status.toString(StandardCharsets.UTF_8);
        if (text.startsWith("2 ")) {
            throw UserError.usage(text.substring(2));
        }
        if (!text.startsWith("0 ")) {
            throw UserError.failure(text.substring(Math.min(2, text.length())));
        }
    }

    private static SocketChannel connect(Path runDir) throws UserError {
        Path socket = runDir.resolve(ControlServer.SOCKET);
        try {
            return SocketChannel.open(UnixDomainSocketAddress.of(socket));
        } catch (IOException | IllegalArgumentException e) {
            throw UserError.failure(
                    "no running xenback answers at " + socket + "; is it the --run-dir of its serve?", e);
        }
    }

    private static SocketChannel connectToOne() throws UserError, IOException {
        Path base = RunDir.usualBase(System.getenv(), RunDir.uid());
        List<Path> running = new ArrayList<>();
        SocketChannel found = null;
        for (Path candidate : candidates(base)) {
            try {
                SocketChannel socket =
                        SocketChannel.open(UnixDomainSocketAddress.of(candidate.resolve(ControlServer.SOCKET)));
                running.add(candidate);
                if (found == null) {
                    found = socket;
                } else {
                    socket.close();
                }
            } catch (IOException dead) {
                // Left behind by a process that was killed.
            }
        }
        if (found == null) {
            throw UserError.failure("no running xenback below " + base + "; name one with --run-dir DIR");
        }
        if (running.size() > 1) {
            found.close();
            throw UserError.failure("several are running, name one: --run-dir "
                    + String.join(" or ", running.stream().map(Path::toString).toList()));
        }
        return found;
    }

    private static List<Path> candidates(Path base) throws IOException {
        List<Path> candidates = new ArrayList<>();
        if (Files.isDirectory(base)) {
            try (DirectoryStream<Path> directories = Files.newDirectoryStream(base, "[0-9]*")) {
                for (Path directory : directories) {
                    if (Files.exists(directory.resolve(ControlServer.SOCKET))) {
                        candidates.add(directory);
                    }
                }
            }
        }
        candidates.sort(null);
        return candidates;
    }
}
