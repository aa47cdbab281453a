package xenback.daemon;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.util.List;
import xenback.net.link.Capture;

/** One capture for a client: the frames of some interfaces as a pcapng file on its socket, until it sends its end. */
final class CaptureSession {
    private CaptureSession() {}

    /** Says something to the client, ahead of the file. */
    @FunctionalInterface
    interface Preface {
        void write() throws IOException;
    }

    /**
     * Returns when the client asked for the end or is gone.
     *
     * @param nics each has a link to listen to
     * @param preface said when no frame escapes any more
     */
    static void run(SocketChannel client, List<NicView> nics, Preface preface) throws IOException {
        Capture capture = Capture.prepare(
                client, nics.stream().map(NicView::interfaceName).toList());
        try (capture) {
            for (int i = 0; i < nics.size(); i++) {
                nics.get(i).link().orElseThrow().attach(capture, i);
            }
            preface.write();
            capture.begin();
            ByteBuffer nothing = ByteBuffer.allocate(16);
            while (client.read(nothing) >= 0) {
                nothing.clear(); // a client has nothing more to say
            }
        } finally {
            nics.forEach(nic -> nic.link().orElseThrow().detach(capture));
        }
    }
}
