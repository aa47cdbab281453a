package xenback.block.backend;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import xenback.block.protocol.Abi;
import xenback.fuzz.FaultLog;
import xenback.fuzz.FuzzInput;
import xenback.fuzz.FuzzTarget;
import xenback.xen.embedded.EmbeddedXen;
import xenback.xen.io.EventLoop;
import xenback.xen.testing.HookedXen;

/**
 * A frontend that does what the input says, on a ring that the backend serves: the data path, and the embedded Xen below. Both
 * live on one loop and take turns, and the frontend also acts amid the backend's turns, so an input does the same each time. The
 * devices stay connected from input to input; each input leaves its device working.
 */
public final class RingTarget implements FuzzTarget {
    private static final int GUEST_PAGES = 256;

    private final FaultLog log = new FaultLog();
    private final Path dir = Files.createTempDirectory("fuzz-ring");
    private final EmbeddedXen xen = EmbeddedXen.start(dir.resolve("run"));
    private final EventLoop loop = EventLoop.start("fuzz-ring");
    private final List<RingDevice> devices = new ArrayList<>();
    private final List<RingScript> scripts = new ArrayList<>();
    private RingScript current;

    public RingTarget() throws Exception {
        HookedXen backend = new HookedXen(xen.domain0()).beforeCopy(batch -> amid());
        for (Abi abi : List.of(Abi.X86_64, Abi.X86_32)) {
            for (boolean persistent : new boolean[] {false, true}) {
                RingDevice device = new RingDevice(
                        backend, xen.createDomain(1 + devices.size(), GUEST_PAGES), loop, abi, persistent, this::amid);
                devices.add(device);
                scripts.add(new RingScript(device));
            }
        }
    }

    private void amid() {
        if (current != null) {
            current.amid();
        }
    }

    @Override
    public void run(FuzzInput in) throws Exception {
        int number = in.below(scripts.size());
        current = scripts.get(number);
        current.open(in);
        while (play(current) == RingScript.Turn.RECONNECT) {
            devices.get(number).disconnect();
            devices.get(number).connect();
            current.begin();
        }
        log.check();
    }

    /** Turn by turn on the loop, until something else is to be done. */
    private RingScript.Turn play(RingScript script) {
        CompletableFuture<RingScript.Turn> end = new CompletableFuture<>();
        EventLoop.TurnEnd turns = new EventLoop.TurnEnd() {
            @Override
            protected void endTurn() {
                try {
                    RingScript.Turn turn = script.turn();
                    if (turn == RingScript.Turn.AGAIN) {
                        loop.atNextTurn(this);
                    } else {
                        end.complete(turn);
                    }
                } catch (RuntimeException | Error e) {
                    end.completeExceptionally(e);
                }
            }
        };
        loop.signal(turns);
        return end.join();
    }

    @Override
    public void close() throws IOException {
        devices.forEach(RingDevice::disconnect);
        loop.close();
        xen.close();
        log.close();
        Files.deleteIfExists(dir.resolve("run"));
        Files.deleteIfExists(dir);
    }
}
