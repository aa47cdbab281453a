package xenback.xen.bus;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import xenback.xen.Errno;
import xenback.xen.XenException;
import xenback.xen.bus.BackendMachine.Held;
import xenback.xen.bus.BackendMachine.Seen;
import xenback.xen.store.StoreAccess;
import xenback.xen.store.StoreException;
import xenback.xen.store.StorePath;

/**
 * A store, a backend, a guest, a toolstack and the time, one step after another, and what must hold at each. The bus and the
 * devices of both ends are the real ones; their threads take turns when a step says so, and their watches wait for theirs.
 */
final class LifeWorld {
    private static final String ERRORS = "/local/domain/0/error";
    private static final long MILLI = 1_000_000;
    private static final long DWELL_NANOS = 1000 * MILLI;

    /** Turns until nobody has anything to do: more than any way back from any mess. */
    private static final int MOST_TURNS = 200;

    /** Longer than the store is left alone after refusals (32 s) and every dwell after it, in seconds. */
    private static final int[] PATIENCE_SECONDS = {1, 1, 32, 1, 1, 32, 1, 1, 1};

    private final LifeDevice kind;
    private final LifeNodes nodes;
    private final List<String> faults = new ArrayList<>();
    private final SteppedPace.Clock clock = new SteppedPace.Clock();
    private final StoreModel model = new StoreModel();
    private int devices;
    private int rings;

    // The backend's process.
    private StoreModel.Client backend = model.connect("backend");
    private SteppedPace backendPace = new SteppedPace(clock);
    private ScriptedDriver driver;
    private Optional<BackendBus> bus = Optional.empty();

    // The guest.
    private StoreModel.Client guest = model.connect("guest");
    private SteppedPace guestPace = new SteppedPace(clock);
    private Optional<ScriptedFrontend> frontend = Optional.empty();

    /** The guest has said what no orderly frontend says, or the toolstack has forced it: it has itself to blame. */
    private boolean disorderly;

    /** Nothing has happened to the guest since it booted that an orderly guest would not get over. */
    private boolean undisturbed;

    private boolean hidden;

    /** Rings that a session has served: to enter one again would repeat its requests. */
    private final Set<Integer> served = new HashSet<>();

    /** The present directory has been at 2, since when. */
    private boolean waiting;

    private long waitingSince;

    /** A script has said that all is well with the present directory. It may say something else later. */
    private boolean scriptContent;

    LifeWorld(LifeDevice kind) {
        this.kind = kind;
        nodes = new LifeNodes(model, kind.kind(), kind.devid());
        driver = new ScriptedDriver(backend, kind.driver(backend));
        model.listen(this::judge);
        startBackend();
    }

    void play(List<LifeStep> steps) {
        for (LifeStep step : steps) {
            perform(step);
            complain();
        }
        endStorm();
        converges();
        if (node("online").equals("1") && nodes.frontend("state").isPresent() && !hidden) {
            servesAgain();
        }
        takesBack();
        hide(false);
        attach();
        servesAgain();
        takesBack();
    }

    private void perform(LifeStep step) {
        switch (step) {
            case LifeStep.Turn(LifeStep.Program of, int which) -> turn(of, which);
            case LifeStep.Deliver(LifeStep.Program to, int which) -> deliver(to, which);
            case LifeStep.Settle() -> settle();
            case LifeStep.Pass(int millis) -> clock.advance(millis * MILLI);
            case LifeStep.Amid(LifeStep.Program of, int calls, LifeStep inner) ->
                client(of).amid(calls, () -> perform(inner));
            case LifeStep.Attach() -> attach();
            case LifeStep.Script(String status) -> script(status);
            case LifeStep.Detach() -> detach();
            case LifeStep.Force() -> force();
            case LifeStep.Close() -> closeBackend();
            case LifeStep.Remove() -> remove();
            case LifeStep.Replace() -> replace();
            case LifeStep.GuestBoots() -> boot();
            case LifeStep.GuestCrashes() -> crash();
            case LifeStep.GuestRenews(String state) -> renew(state);
            case LifeStep.GuestSays(String state) -> say(state);
            case LifeStep.GuestRemovesItsNodes() -> removeFrontend();
            case LifeStep.GuestHidesItsState(boolean hidden) -> hide(hidden);
            case LifeStep.GuestBreaksItsRing() -> breakRings();
            case LifeStep.BackendIsKilled() -> killBackend();
            case LifeStep.BackendStops() -> stopBackend();
            case LifeStep.BackendStarts() -> startBackend();
            case LifeStep.ImageIsTaken(boolean taken) -> driver.storeTaken = taken;
            case LifeStep.ImageGrows() -> grow();
            case LifeStep.OfDevice(LifeDevice.Step own) -> kind.perform(own, nodes);
            case LifeStep.StoreRefuses(LifeStep.Program program, Errno with, int calls) -> {
                Errno[] failures = new Errno[calls];
                Arrays.fill(failures, with);
                client(program).fail(failures);
            }
            case LifeStep.StoreIsLost(LifeStep.Program to) -> client(to).lose();
            case LifeStep.StoreIsBack(LifeStep.Program to) -> client(to).comeBack();
            case LifeStep.AnswerIsLost(LifeStep.Program to) -> client(to).loseAnswerToCommit();
            case LifeStep.FiresForNothing(LifeStep.Program at, int which) -> {
                List<StoreModel.Client.Watch> watches = client(at).watches();
                if (!watches.isEmpty()) {
                    watches.get(which % watches.size()).fireForNothing();
                }
            }
        }
    }

    private StoreModel.Client client(LifeStep.Program program) {
        return program == LifeStep.Program.BACKEND ? backend : guest;
    }

    // Who gets on.

    private void turn(LifeStep.Program of, int which) {
        SteppedPace pace = of == LifeStep.Program.BACKEND ? backendPace : guestPace;
        List<Control> ready = pace.ready();
        if (!ready.isEmpty()) {
            pace.turn(ready.get(which % ready.size()));
        }
    }

    private void deliver(LifeStep.Program to, int which) {
        List<StoreModel.Client.Watch> firing = client(to).firing();
        if (!firing.isEmpty()) {
            firing.get(which % firing.size()).deliver();
        }
    }

    private void settle() {
        int turns = 0;
        int before;
        do {
            before = turns;
            backend.deliverAll();
            guest.deliverAll();
            turns += backendPace.rest(MOST_TURNS);
            turns += guestPace.rest(MOST_TURNS);
            if (turns > MOST_TURNS) {
                throw new AssertionError("no rest within " + MOST_TURNS + " turns\n" + this);
            }
        } while (turns > before
                || !backend.firing().isEmpty()
                || !guest.firing().isEmpty());
    }

    // The backend.

    private void startBackend() {
        if (bus.isPresent()) {
            return;
        }
        killBackend();
        try {
            bus = Optional.of(BackendBus.start(backend, 0, kind.kind(), driver, backendPace));
        } catch (XenException e) {
            killBackend(); // it could not start, and its user is told
        }
    }

    private void stopBackend() {
        undisturbed &= !driver.isConnected();
        bus.ifPresent(running -> {
            running.close();
            check(driver.holdsNothing(), "the backend has ended with something held");
            check(backend.watches().isEmpty(), "the backend has ended with a watch");
        });
        killBackend();
    }

    /** What a process holds goes with it; its driver's world is as before. */
    private void killBackend() {
        undisturbed &= !driver.isConnected();
        faults.addAll(driver.faults);
        boolean taken = driver.storeTaken;
        long sectors = driver.sectors;
        bus = Optional.empty();
        backendPace.kill();
        backend = backend.successor();
        driver.instances.forEach(ScriptedDriver.Instance::die);
        backendPace = new SteppedPace(clock);
        driver = new ScriptedDriver(backend, kind.driver(backend));
        driver.onPublished = this::serves;
        driver.storeTaken = taken;
        driver.sectors = sectors;
    }

    private void serves(String ring) {
        boolean first = ring.isEmpty() || served.add(Integer.parseInt(ring));
        check(first || disorderly, "serves ring " + ring + " a second time");
    }

    private void grow() {
        driver.sectors++;
        driver.ties().forEach(BackendDriver.Session::changed);
    }

    // The toolstack.

    private void attach() {
        if (model.value(nodes.back).isEmpty() && model.value(nodes.front).isEmpty()) {
            nodes.write(this::writeDevice);
        }
    }

    private void writeDevice(StoreAccess access) throws StoreException {
        devices++;
        waiting = false;
        scriptContent = false;
        Map<String, String> own = new TreeMap<>(kind.attached());
        own.put("params", "image" + devices);
        nodes.writeDevice(access, own);
    }

    private void script(String status) {
        undisturbed &= status.equals("connected");
        nodes.writeBackend("hotplug-status", status);
        scriptContent |= node("hotplug-status").equals("connected");
    }

    private void detach() {
        undisturbed = false;
        if (model.value(nodes.back).isPresent()) {
            String state = node("state");
            nodes.write(access -> {
                access.write(StorePath.of(nodes.back + "/online"), "0");
                if (!state.equals("6")) {
                    access.write(StorePath.of(nodes.back + "/state"), "5");
                }
            });
        }
    }

    private void closeBackend() {
        if (waiting) { // libxl is two seconds about it
            undisturbed = false;
            nodes.writeBackend("closed", "yes"); // for ourselves
            nodes.writeBackend("state", "6");
        }
    }

    private void force() {
        if (node("online").equals("0")) {
            removeFrontend();
        }
    }

    private void removeFrontend() {
        disorderly = true;
        undisturbed = false;
        nodes.write(access -> access.remove(StorePath.of(nodes.front)));
    }

    private void remove() {
        removeFrontend();
        nodes.write(access -> access.remove(StorePath.of(nodes.back).parent())); // libxl takes empty parents along
    }

    private void replace() {
        disorderly = true;
        undisturbed = false;
        nodes.write(access -> {
            access.remove(StorePath.of(nodes.front));
            access.remove(StorePath.of(nodes.back));
            writeDevice(access);
        });
    }

    // The guest.

    private void boot() {
        crash();
        if (nodes.frontend("backend").isEmpty()) {
            return;
        }
        nodes.write(access -> {
            nodes.removeFromFrontend(access, kind.keysOfSomeRings());
            access.write(StorePath.of(nodes.front + "/state"), "1");
        });
        disorderly = false;
        undisturbed = node("online").equals("1") && node("closed").isEmpty() && !hidden;
        ScriptedFrontend next = new ScriptedFrontend(
                () -> ++rings,
                ring -> !disorderly && driver.isConnectedTo(ring),
                kind::makeRings,
                () -> kind.endRings(false));
        try {
            FrontendDevice.start(guest, StorePath.of(nodes.front), next, guestPace);
            frontend = Optional.of(next);
        } catch (XenException e) {
            crash();
        }
    }

    private void crash() {
        undisturbed = false;
        frontend.ifPresent(each -> faults.addAll(each.faults));
        frontend = Optional.empty();
        kind.endRings(true);
        guestPace.kill();
        guest.kill();
        guest = model.connect("guest");
        guestPace = new SteppedPace(clock);
    }

    private void renew(String state) {
        crash();
        if (nodes.frontend("backend").isPresent()) {
            rings++;
            Map<String, String> told = kind.makeRings();
            nodes.write(access -> {
                nodes.removeFromFrontend(access, kind.keysOfSomeRings());
                for (Map.Entry<String, String> node : told.entrySet()) {
                    access.write(StorePath.of(nodes.front + "/" + node.getKey()), node.getValue());
                }
                access.write(StorePath.of(nodes.front + "/ring-ref"), Integer.toString(rings));
                access.write(StorePath.of(nodes.front + "/state"), state);
            });
        }
    }

    private void say(String state) {
        disorderly = true;
        undisturbed = false;
        nodes.writeFrontend("state", state);
    }

    private void hide(boolean toBeHidden) {
        if (hidden != toBeHidden) {
            hidden = toBeHidden;
            disorderly = true;
            undisturbed = false;
            applyHiding();
            backend.watches().forEach(StoreModel.Client.Watch::fireForNothing); // as a change of permissions does
        }
    }

    private void applyHiding() {
        if (hidden) {
            backend.denyReading(nodes.front + "/state");
        } else {
            backend.allowReading(nodes.front + "/state");
        }
    }

    /** Also words of sessions that are over. */
    private void breakRings() {
        undisturbed &= !driver.isConnected();
        driver.ties().forEach(each -> each.broken("the ring is broken"));
    }

    // What must hold whenever anybody has written anything.

    private void judge(StoreModel.Client by, Map<String, String> before, Set<String> changed) {
        if (by != backend) {
            return;
        }
        String then = before.getOrDefault(nodes.back + "/state", "gone");
        for (String path : changed) {
            boolean ours = path.startsWith(nodes.back + "/") || path.equals(ERRORS) || path.startsWith(ERRORS + "/");
            boolean told = path.startsWith(nodes.front + "/")
                    && kind.mayWriteToFrontend(path.substring(nodes.front.length() + 1))
                    && before.containsKey(nodes.front + "/state");
            check(ours || told, "the backend writes " + path);
            check(!path.startsWith(nodes.back) || !then.equals("gone"), "a removed directory comes back by " + path);
        }
        if (changed.contains(nodes.back + "/state")) {
            judgeState(then, node("state"));
        }
        if (changed.contains(nodes.back + "/sectors")) {
            check(node("state").equals("4"), "the size is written at " + node("state"));
        }
    }

    private void judgeState(String then, String now) {
        boolean offline = node("online").equals("0");
        if (now.equals("2") && !waiting) {
            waiting = true;
            waitingSince = clock.nanoTime();
        }
        if (then.equals("2") && !now.equals("2")) {
            boolean unspoken = node("hotplug-status").isEmpty() || now.equals("6"); // a script may speak amid
            boolean dwelled = unspoken && clock.nanoTime() - waitingSince >= DWELL_NANOS;
            check(scriptContent || dwelled || offline, "2 becomes " + now + " before libxl has seen it");
        }
        check(!now.equals("2") || !driver.isConnected(), "2 with a session");
        check(!now.equals("4") || driver.isConnected(), "4 without a session");
        check(!now.equals("6") || !driver.isConnected(), "6 with a session");
        check(!now.equals("6") || !offline || driver.holdsNothing(), "6 with an open store");
    }

    private String node(String key) {
        return nodes.backend(key).orElse("");
    }

    private void check(boolean good, String fault) {
        if (!good) {
            faults.add(fault);
        }
    }

    private void complain() {
        faults.addAll(driver.faults);
        frontend.ifPresent(each -> faults.addAll(each.faults));
        if (!faults.isEmpty()) {
            throw new AssertionError(faults.getFirst() + "\n" + this);
        }
    }

    private void require(boolean good, String fault) {
        check(good, fault);
        complain();
    }

    // What must be after the storm.

    private void endStorm() {
        backend.heal();
        guest.heal();
        startBackend();
        pass(PATIENCE_SECONDS);
    }

    private void pass(int... seconds) {
        settle();
        for (int each : seconds) {
            clock.advance(1000 * MILLI * each);
            settle();
        }
        complain();
    }

    /** Everybody has done what follows from what the store says. */
    private void converges() {
        Optional<BackendDevice> device = bus.orElseThrow().device(1, kind.devid());
        if (nodes.backend("state").isEmpty()) {
            require(device.isEmpty(), "a device that is gone is not forgotten");
            require(driver.holdsNothing(), "a device that is gone is held");
            return;
        }
        Held held = device.map(BackendDevice::held).orElse(Held.NOTHING);
        Seen seen = new Seen(
                true,
                XenbusState.parse(node("state")),
                hidden
                        ? XenbusState.UNKNOWN
                        : XenbusState.parse(nodes.frontend("state").orElse("")),
                node("online").equals("1"),
                HotplugStatus.parse(node("hotplug-status")) != HotplugStatus.FAILED);
        BackendMachine.Effect next = BackendMachine.next(seen, held.noting(seen));
        require(next == BackendMachine.Effect.NOTHING, "left undone: " + next);
        require(held.connected() == driver.isConnected(), "believes in a session that is not there, or not in one");
        require(!held.connected() || !held.broken(), "a broken session goes on");
        if (held.connected() && node("state").equals("4")) {
            requireTold();
        }
        String told = switch (held.store()) {
            case OPEN -> "open";
            case FAILED -> "error";
            case CLOSED -> node("store-status");
        };
        boolean awaited = seen.online(); // a device that is detached has no script that waits for its store
        require(!awaited || node("store-status").equals(told), "the script is not told that the store is " + told);
        if (undisturbed && frontend.isPresent() && seen.hotplugOver() && held.store() != BackendMachine.Store.FAILED) {
            requireServed("an orderly guest in the storm");
        }
    }

    private void requireTold() {
        require(driver.last().published, "the session does not know of the 4");
        String fault = kind.faultOfSession(nodes);
        require(fault.isEmpty(), fault);
        require(
                !driver.isScripted() || node("sectors").equals(Long.toString(driver.sectors)),
                "the frontend is not told of the new size");
        boolean ready = Set.of("3", "4").contains(nodes.frontend("state").orElse(""));
        String named = nodes.frontend("ring-ref").orElse("");
        require(
                !ready || named.isEmpty() || driver.last().ring.equals(named),
                "not connected to the rings of the frontend");
    }

    /** An orderly guest gets its disk, the size that it has, and a new session when it resumes. */
    private void servesAgain() {
        driver.storeTaken = false;
        kind.calm(nodes);
        pass(1);
        boolean failed = bus.orElseThrow()
                        .device(1, kind.devid())
                        .map(device -> device.held().store() == BackendMachine.Store.FAILED)
                        .orElse(false)
                || HotplugStatus.parse(node("hotplug-status")) == HotplugStatus.FAILED;
        if (failed) {
            replace(); // as the toolstack's user does, who was told
        }
        settle();
        script("connected");
        boot();
        pass(1);
        requireServed("an orderly boot");
        require(driver.last().params.equals(node("params")), "serves " + driver.last().params);
        grow();
        pass(1);
        requireTold();
        renew("3");
        pass(1);
        requireServed("a resume");
        renew("3");
        say("4");
        pass(1, 1);
        requireServed("a resume whose 3 nobody saw");
        rings++;
        say("3"); // a new ring that has got the number of the old one
        int connections = driver.ties().size();
        pass(1);
        require(driver.ties().size() == connections + 1, "a resume with the same numbers does not lead to a session");
        require(model.pathsBelow(ERRORS).isEmpty(), "an error is left: " + model.pathsBelow(ERRORS));
    }

    private void requireServed(String after) {
        require(
                node("state").equals("4")
                        && driver.isConnected()
                        && driver.last().published
                        && driver.last().ring.equals(Integer.toString(rings)),
                after + " does not lead to a session over ring " + rings);
        String fault = kind.faultOfService();
        require(fault.isEmpty(), after + ": " + fault);
    }

    /** A detach, forced if need be, ends at 6 with nothing held, and nothing is left of a device that is removed. */
    private void takesBack() {
        if (nodes.backend("state").isPresent()) {
            detach();
            pass(1);
            if (!node("state").equals("6")) {
                force();
                pass(1);
            }
            require(node("state").equals("6"), "a detach ends at " + node("state"));
            require(driver.holdsNothing(), "6 with something held");
        }
        remove();
        pass(1);
        require(driver.holdsNothing(), "removed with something held");
        require(bus.orElseThrow().device(1, kind.devid()).isEmpty(), "removed and not forgotten");
        kind.endRings(true);
        require(kind.leftOver().isEmpty(), "removed, and " + kind.leftOver());
        require(backendPace.count() == 1, "threads are left: " + (backendPace.count() - 1));
        require(
                backend.watches().size() == 1,
                "watches are left: " + (backend.watches().size() - 1));
        require(model.pathsBelow(ERRORS).isEmpty(), "an error is left: " + model.pathsBelow(ERRORS));
    }

    @Override
    public String toString() {
        return "own " + node("state") + ", frontend "
                + nodes.frontend("state").orElse("gone") + ", online "
                + node("online") + ", script '" + node("hotplug-status") + "', "
                + bus.flatMap(running -> running.device(1, kind.devid()))
                        .map(BackendDevice::held)
                        .map(Held::toString)
                        .orElse("no device")
                + ", driver " + driver.calls;
    }
}
