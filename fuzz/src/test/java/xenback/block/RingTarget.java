package xenback.block;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import xenback.block.backend.BlockOptions;
import xenback.block.protocol.Abi;
import xenback.fuzz.FaultLog;
import xenback.fuzz.FuzzInput;
import xenback.fuzz.FuzzTarget;
import xenback.xen.io.EventLoop;

/**
 * A frontend that does what the input says, on a ring that a whole backend serves: the data path, the handshake after a
 * broken ring, and the embedded Xen below. The devices stay connected from input to input; each input leaves its device
 * working.
 */
public final class RingTarget implements FuzzTarget {
    private static final int XVDA = 51712;

    private final FaultLog log = new FaultLog();
    private final Path dir = Files.createTempDirectory("fuzz-ring");
    private final Machine machine;
    private final List<RingScript> scripts = new ArrayList<>();

    public RingTarget() throws Exception {
        List<ScriptedDisk> disks = new ArrayList<>();
        BlockOptions options = new BlockOptions(0, 1, 1024, true, false, false);
        machine = new Machine(
                dir,
                EventLoop.Engine.AUTO,
                options,
                (target, disk) -> disks.get(Integer.parseInt(target.substring(1))));
        for (Abi abi : List.of(Abi.X86_64, Abi.X86_32)) {
            for (boolean persistent : new boolean[] {false, true}) {
                int number = disks.size();
                disks.add(new ScriptedDisk(persistent));
                HostileFrontend frontend =
                        new HostileFrontend(machine, machine.guest(1 + number), XVDA, Path.of("/" + number), "w", abi);
                frontend.write("feature-persistent", persistent ? "1" : "0");
                frontend.connect();
                scripts.add(new RingScript(frontend, disks.get(number), abi));
            }
        }
    }

    @Override
    public void run(FuzzInput in) throws Exception {
        scripts.get(in.below(scripts.size())).run(in);
        machine.events.clear();
        log.check();
    }

    @Override
    public void close() throws IOException {
        machine.close();
        log.close();
        Files.deleteIfExists(dir.resolve("run"));
        Files.deleteIfExists(dir);
    }
}
