package xenback.block.nbd;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;
import xenback.xen.io.Completion;
import xenback.xen.io.EventLoop;
import xenback.xen.io.ScatterList;
import xenback.xen.io.Sockets;

/**
 * A client in the handshake: moves bytes between its socket and an {@link NbdHandshake}, one direction at a time. Costs a
 * few tens of kilobytes, however long the client takes. On the lobby's loop.
 */
final class NbdNewcomer {
    private final NbdLobby lobby;
    private final EventLoop loop;
    private final int fd;
    private final Arena arena = Arena.ofShared(); // the export's loop reads the early requests
    private final MemorySegment input;
    private final MemorySegment output;
    private final ScatterList sending;
    private final NbdHandshake handshake;
    private final Completion onReceived = this::received;
    private final Completion onSent = this::sent;
    private NbdHandshake.Step step = NbdHandshake.Step.SEND;
    private boolean ending;

    NbdNewcomer(NbdLobby lobby, EventLoop loop, int fd, List<NbdExport> exports) {
        this.lobby = lobby;
        this.loop = loop;
        this.fd = fd;
        try {
            input = arena.allocate(NbdHandshake.INPUT_BYTES);
            output = arena.allocate(NbdHandshake.outputBytes(exports));
            sending = new ScatterList(1, arena);
        } catch (OutOfMemoryError e) {
            arena.close();
            throw e;
        }
        handshake = new NbdHandshake(exports, input, output);
    }

    void start() {
        handshake.greet();
        send();
    }

    /** Cuts the connection; the operation that is always under way completes and closes it. */
    void end() {
        ending = true;
        Sockets.shutdown(fd);
    }

    private void received(int tag, int result) {
        if (result <= 0 || ending) {
            close();
            return;
        }
        handshake.received(result);
        step = handshake.step();
        proceed();
    }

    private void sent(int tag, int result) {
        if (result <= 0 || ending) {
            close();
            return;
        }
        sending.advance(result);
        if (sending.totalBytes() > 0) {
            loop.sendv(fd, sending, onSent, 0);
            return;
        }
        switch (step) {
            case TRANSMIT -> transmit();
            case CLOSE -> close();
            case SEND, RECEIVE -> {
                step = handshake.step();
                proceed();
            }
        }
    }

    private void proceed() {
        if (step == NbdHandshake.Step.RECEIVE) {
            int at = handshake.receiveFrom();
            loop.recv(fd, input, at, NbdHandshake.INPUT_BYTES - at, onReceived, 0);
        } else if (handshake.outputLength() > 0) {
            send();
        } else {
            close(); // only CLOSE comes without words
        }
    }

    private void send() {
        sending.clear();
        sending.add(output, 0, handshake.outputLength());
        loop.sendv(fd, sending, onSent, 0);
    }

    private void transmit() {
        ServedExport served = lobby.passOn(this, handshake.agreement().export());
        served.export().loop().execute(() -> {
            served.adopt(fd, handshake.agreement(), input, handshake.earlyOffset(), handshake.earlyBytes());
            arena.close();
        });
    }

    private void close() {
        arena.close();
        Sockets.close(fd);
        lobby.left(this);
    }
}
