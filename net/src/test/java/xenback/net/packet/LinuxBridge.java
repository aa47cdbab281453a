package xenback.net.packet;

import java.io.BufferedOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** Linux' own stack as a finisher of frames: {@link BridgeInNamespace} in a namespace that ends with it. */
final class LinuxBridge implements AutoCloseable {
    /** Bytes of a virtio_net_hdr. */
    static final int HEADER_BYTES = 10;

    private final Process process;
    private final Path errors;
    private final DataOutputStream to;
    private final DataInputStream from;

    LinuxBridge(Path dir) throws IOException {
        errors = dir.resolve("bridge.err");
        Path classes = Path.of(LinuxBridge.class
                .getProtectionDomain()
                .getCodeSource()
                .getLocation()
                .getPath());
        process = new ProcessBuilder(
                        "unshare",
                        "--net",
                        "--map-root-user",
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-Xmx64m",
                        "-XX:TieredStopAtLevel=1",
                        "--enable-native-access=ALL-UNNAMED",
                        "-cp",
                        classes.toString(),
                        BridgeInNamespace.class.getName())
                .redirectError(errors.toFile())
                .start();
        to = new DataOutputStream(new BufferedOutputStream(process.getOutputStream(), 1 << 17));
        from = new DataInputStream(process.getInputStream());
    }

    /** Puts a frame with its virtio_net_hdr in; gives what comes out, each with a header as well. */
    List<byte[]> forward(byte[] headerAndFrame) throws IOException {
        try {
            to.writeInt(headerAndFrame.length);
            to.write(headerAndFrame);
            to.flush();
            List<byte[]> frames = new ArrayList<>();
            while (true) {
                int length = from.readInt();
                if (length == 0) {
                    return frames;
                }
                frames.add(from.readNBytes(length));
            }
        } catch (IOException e) {
            throw new IOException("bridge: " + Files.readString(errors), e);
        }
    }

    @Override
    public void close() throws IOException {
        to.close();
        process.onExit().join();
        from.close();
    }
}
