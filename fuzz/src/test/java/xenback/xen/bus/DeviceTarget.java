package xenback.xen.bus;

import static xenback.fuzz.FuzzTarget.require;
import static xenback.xen.bus.ModelBus.BACKEND;
import static xenback.xen.bus.ModelBus.FRONTEND;
import static xenback.xen.bus.ModelBus.SECOND;

import java.util.List;
import java.util.Map;
import xenback.fuzz.FaultLog;
import xenback.fuzz.FuzzInput;
import xenback.fuzz.FuzzTarget;
import xenback.xen.Errno;
import xenback.xen.XenException;

/**
 * Any values, at any time, in the nodes by which a device lives: the driver's calls stay in order, the backend writes
 * nothing outside of its directory and never a state that is none, and when guest and toolstack are honest again the device
 * connects, or leaves, or is replaced, one of them for each input.
 */
public final class DeviceTarget implements FuzzTarget {
    private static final String ERROR = "/local/domain/0/error";
    private static final int MOST_STEPS = 48;

    /** What a node of an unprivileged domain holds. */
    private static final int MOST_WRITTEN = 2048;

    /** After a failure the store is asked again within 32 seconds. */
    private static final long LONGEST_REST_NANOS = 40 * SECOND;

    /** Store calls of one step, with room: 16 looks with their transactions, some of them tried again. */
    private static final int MOST_CALLS = 4000;

    private static final List<String> GUEST_NODES = List.of("state", "ring-ref", "backend");
    private static final String[] PATHS = {
        FRONTEND,
        BACKEND,
        "/local/domain/1",
        "/local/domain/1/",
        "/local/domain/10/device/vbd/51712",
        "/local/domain/2/device/vbd/51712",
        "/local/domain/1/device/vbd/51712/state",
        "/local/domain/1//device",
        "/local/domain/1/data/a"
    };

    private final FaultLog log = new FaultLog();
    private String fault = "";

    @Override
    public void run(FuzzInput in) throws Exception {
        fault = "";
        ModelBus world = new ModelBus();
        world.model.listen((client, before, changed) -> {
            if (client == world.store) {
                changed.forEach(path -> check(world, before, path));
            }
        });
        world.attach();
        int end = in.below(3);
        boolean honestToolstack = true;
        for (int i = 0; i < MOST_STEPS && in.more(); i++) {
            int before = world.store.calls();
            honestToolstack &= step(world, in);
            int calls = world.store.calls() - before;
            require(calls <= MOST_CALLS, calls + " calls of the store in a step");
        }
        world.store.heal();
        GUEST_NODES.forEach(node -> world.store.allowReading(FRONTEND + "/" + node));
        world.driver.connects = true;
        world.driver.storeTaken = false;
        if (end == 0 && honestToolstack) {
            reboot(world);
            world.connect("4711");
            require(world.driver.last().ring.equals("4711"), "connected to ring " + world.driver.last().ring);
        } else if (end == 1 && honestToolstack) {
            world.pass(LONGEST_REST_NANOS);
            leave(world);
        } else {
            replace(world);
        }
        world.close();
        require(fault.isEmpty(), fault);
        log.check();
    }

    /** True if the toolstack did nothing that it does not do with a device that stays. */
    private static boolean step(ModelBus world, FuzzInput in) throws XenException {
        switch (in.below(12)) {
            case 0, 1, 2 -> guestWrites(world, in);
            case 3 -> {
                world.write(FRONTEND + "/ring-ref", Integer.toString(in.below(4)));
                world.frontend(in.flag() ? "3" : "4");
            }
            case 4 -> world.write(BACKEND + "/hotplug-status", "connected");
            case 5 -> world.pass(in.pick(0, 1, 2, 40) * SECOND + in.u8());
            case 6 -> {
                String path = FRONTEND + "/" + GUEST_NODES.get(in.below(GUEST_NODES.size()));
                String value = path.endsWith("/state") ? state(in) : text(in);
                world.store.amid(in.below(12), () -> writeAmid(world, path, value));
            }
            case 7 -> {
                String path = FRONTEND + "/" + GUEST_NODES.get(in.below(GUEST_NODES.size()));
                if (in.flag()) {
                    world.store.denyReading(path);
                } else {
                    world.store.allowReading(path);
                }
            }
            case 8 ->
                world.remove(in.flag() ? FRONTEND : FRONTEND + "/" + GUEST_NODES.get(in.below(GUEST_NODES.size())));
            case 9 -> {
                switch (in.below(4)) {
                    case 0 -> world.store.fail(Errno.EIO);
                    case 1 -> world.store.loseAnswerToCommit();
                    case 2 -> world.driver.connects = in.flag();
                    default -> breakRing(world);
                }
            }
            case 10 -> {
                toolstackWrites(world, in);
                return false;
            }
            default -> world.rest();
        }
        return true;
    }

    private static void guestWrites(ModelBus world, FuzzInput in) throws XenException {
        String node = GUEST_NODES.get(in.below(GUEST_NODES.size()));
        world.write(FRONTEND + "/" + node, node.equals("state") ? state(in) : text(in));
        if (in.flag()) {
            world.rest();
        }
    }

    private static void writeAmid(ModelBus world, String path, String value) {
        try {
            world.write(path, value);
        } catch (XenException e) {
            throw new AssertionError(e);
        }
    }

    private static void breakRing(ModelBus world) {
        if (world.driver.instances.isEmpty() || !world.driver.last().connected) {
            return;
        }
        world.driver.last().ties.broken("a ring that is broken");
    }

    private static void toolstackWrites(ModelBus world, FuzzInput in) throws XenException {
        switch (in.below(8)) {
            case 0, 1 -> world.write(BACKEND + "/state", state(in));
            case 2 -> world.write(BACKEND + "/frontend", in.flag() ? PATHS[in.below(PATHS.length)] : text(in));
            case 3 -> world.write(BACKEND + "/frontend-id", in.flag() ? Integer.toString(in.below(4)) : text(in));
            case 4 -> world.write(BACKEND + "/online", in.flag() ? Integer.toString(in.below(2)) : text(in));
            case 5 -> world.write(BACKEND + "/hotplug-status", in.flag() ? "error" : text(in));
            case 6 -> world.remove(in.flag() ? BACKEND : BACKEND + "/state");
            default -> world.attach();
        }
    }

    private static String state(FuzzInput in) {
        return in.rarely() ? text(in) : Integer.toString(in.below(10));
    }

    private static String text(FuzzInput in) {
        return in.rarely()
                ? in.text(255).repeat(1 + in.below(16))
                : in.flag() ? PATHS[in.below(PATHS.length)] : in.text(12);
    }

    /** What the backend has done to a node. */
    private void check(ModelBus world, Map<String, String> before, String path) {
        boolean ours = path.startsWith(BACKEND + "/");
        boolean error = path.equals(ERROR) || path.startsWith(ERROR + "/");
        note(ours || error, "the backend changed " + path);
        note(!ours || before.containsKey(BACKEND + "/state"), "the backend wrote into what was removed: " + path);
        String value = world.model.value(path).orElse("");
        note(value.length() <= MOST_WRITTEN && value.chars().noneMatch(Character::isISOControl), path + " = " + value);
        boolean isState = path.equals(BACKEND + "/state");
        note(!isState || "24568".contains(value) && value.length() == 1, "the backend wrote state " + value);
        boolean reconfigured = isState && value.equals("8");
        note(!reconfigured || "4".equals(before.get(path)), "the backend wrote state 8 after " + before.get(path));
    }

    private void note(boolean good, String what) {
        if (!good && fault.isEmpty()) {
            fault = what;
        }
    }

    /** The guest begins again, as it may at any time. */
    private static void reboot(ModelBus world) throws XenException {
        world.write(FRONTEND + "/backend", BACKEND);
        world.frontend("6");
        world.pass(LONGEST_REST_NANOS);
        require(world.state().equals("6"), "not closed with its frontend, but at " + world.state());
        world.frontend("1");
        world.write(BACKEND + "/hotplug-status", "connected");
        world.rest();
        require(world.state().equals("2"), "not at 2 for a frontend that begins, but at " + world.state());
    }

    /** The toolstack removes the device by force, and attaches another in its place. */
    private static void replace(ModelBus world) throws XenException {
        world.remove(BACKEND);
        world.remove(FRONTEND);
        world.pass(LONGEST_REST_NANOS);
        requireNothingIsLeft(world);
        world.attach();
        require(world.state().equals("2"), "not at 2 for a new device, but at " + world.state());
    }

    private static void leave(ModelBus world) throws XenException {
        world.detach();
        world.frontend("5");
        world.frontend("6");
        require(world.state().equals("6"), "not closed for the toolstack, but at " + world.state());
        require(world.driver.holdsNothing(), "held at the end");
        world.remove(BACKEND);
        world.rest();
        requireNothingIsLeft(world);
    }

    private static void requireNothingIsLeft(ModelBus world) {
        require(world.driver.holdsNothing(), "held without a device");
        require(world.model.pathsBelow(BACKEND).isEmpty(), "left: " + world.model.pathsBelow(BACKEND));
        require(world.model.pathsBelow(ERROR).isEmpty(), "left: " + world.model.pathsBelow(ERROR));
    }

    @Override
    public void close() {
        log.close();
    }
}
