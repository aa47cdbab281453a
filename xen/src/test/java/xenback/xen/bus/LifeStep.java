package xenback.xen.bus;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import xenback.xen.Errno;

/** What can happen in the life of a device. Each step makes sense in any world, or does nothing in it. */
sealed interface LifeStep {
    /** A program that has a connection to the store and threads. */
    enum Program {
        BACKEND,
        GUEST
    }

    // Who gets on.

    /** One of the threads that have something to do takes a turn. */
    record Turn(Program of, int which) implements LifeStep {}

    /** One of the watches that have something to report does. */
    record Deliver(Program to, int which) implements LifeStep {}

    /** All threads and watches get on until nobody has anything to do. */
    record Settle() implements LifeStep {}

    record Pass(int millis) implements LifeStep {}

    /** Another step happens between two calls of a program to the store. */
    record Amid(Program of, int callsFromNow, LifeStep step) implements LifeStep {}

    // The toolstack.

    record Attach() implements LifeStep {}

    /** The hotplug script leaves a word. */
    record Script(String status) implements LifeStep {}

    record Detach() implements LifeStep {}

    /** As libxl does after ten seconds, or at once: it removes the frontend's directory. */
    record Force() implements LifeStep {}

    /** As libxl does with the kind qdisk where the guest does not run: 6, and {@code online} stays. */
    record Close() implements LifeStep {}

    record Remove() implements LifeStep {}

    /** Removes the device and attaches another under its number, in one transaction. */
    record Replace() implements LifeStep {}

    // The guest.

    /** An orderly frontend starts, from state 1. */
    record GuestBoots() implements LifeStep {}

    record GuestCrashes() implements LifeStep {}

    /** Resume on the same host: new rings, and 3, or 4 at once as Linux' netfront does. */
    record GuestRenews(String state) implements LifeStep {}

    /** Its state node gets any text. */
    record GuestSays(String state) implements LifeStep {}

    record GuestRemovesItsNodes() implements LifeStep {}

    record GuestHidesItsState(boolean hidden) implements LifeStep {}

    record GuestBreaksItsRing() implements LifeStep {}

    // The backend's process and what is behind it.

    record BackendIsKilled() implements LifeStep {}

    record BackendStops() implements LifeStep {}

    record BackendStarts() implements LifeStep {}

    record ImageIsTaken(boolean taken) implements LifeStep {}

    record ImageGrows() implements LifeStep {}

    /** What is of one kind of device only. */
    record OfDevice(LifeDevice.Step step) implements LifeStep {}

    // The store.

    /** The next calls of a program fail. */
    record StoreRefuses(Program program, Errno with, int calls) implements LifeStep {}

    record StoreIsLost(Program to) implements LifeStep {}

    record StoreIsBack(Program to) implements LifeStep {}

    /** The next transaction is committed, and nobody is told. */
    record AnswerIsLost(Program to) implements LifeStep {}

    /** A watch fires for nothing. */
    record FiresForNothing(Program at, int which) implements LifeStep {}

    List<String> STATES = List.of("0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "", "44", "-1", "x".repeat(2000));
    List<Errno> REFUSALS = List.of(
            Errno.EIO, Errno.EAGAIN, Errno.ENOSPC, Errno.ENOMEM, Errno.EBUSY, Errno.EACCES, Errno.EPERM, Errno.E2BIG);
    List<Integer> MILLIS = List.of(1, 100, 500, 1000, 2000, 40_000);

    /** Draws a step: mostly of those who get on, so that they come far enough for the rest to matter. */
    static LifeStep draw(Random random) {
        return switch (random.nextInt(20)) {
            case 0, 1, 2, 3 -> new Settle();
            case 4, 5, 6 -> new Turn(program(random), random.nextInt(3));
            case 7, 8, 9 -> new Deliver(program(random), random.nextInt(3));
            case 10 -> new Pass(pick(random, MILLIS));
            case 11, 12 -> ofToolstack(random);
            case 13, 14 -> ofGuest(random);
            case 15 -> ofBackend(random);
            case 16 -> ofStore(random, program(random));
            case 17 -> new GuestBoots();
            default -> amid(random, program(random));
        };
    }

    /** A step as it is, or one of three times between two calls of the backend to the store. */
    static LifeStep perhapsAmid(Random random, LifeStep step) {
        return random.nextInt(3) == 0 ? new Amid(Program.BACKEND, 1 + random.nextInt(30), step) : step;
    }

    /** Of those who are not that program, but for its store client, which has a thread of its own. */
    private static LifeStep amid(Random random, Program of) {
        LifeStep step = switch (random.nextInt(of == Program.BACKEND ? 6 : 4)) {
            case 0, 1 -> ofToolstack(random);
            case 2 -> ofStore(random, of);
            case 3 -> new Deliver(of, random.nextInt(3));
            default -> ofGuest(random);
        };
        return new Amid(of, 1 + random.nextInt(of == Program.BACKEND ? 30 : 15), step);
    }

    private static LifeStep ofToolstack(Random random) {
        return switch (random.nextInt(13)) {
            case 0, 1, 2 -> new Attach();
            case 3, 4 -> new Script("connected");
            case 5 -> new Script(random.nextBoolean() ? "error" : "busy");
            case 6, 7 -> new Detach();
            case 8 -> new Force();
            case 9 -> new Remove();
            case 10 -> new Close();
            default -> new Replace();
        };
    }

    private static LifeStep ofGuest(Random random) {
        return switch (random.nextInt(10)) {
            case 0, 1 -> new GuestBoots();
            case 2 -> new GuestCrashes();
            case 3 -> new GuestRenews(random.nextBoolean() ? "3" : "4");
            case 4, 5, 6 -> new GuestSays(pick(random, STATES));
            case 7 -> new GuestRemovesItsNodes();
            case 8 -> new GuestHidesItsState(random.nextBoolean());
            default -> new GuestBreaksItsRing();
        };
    }

    private static LifeStep ofBackend(Random random) {
        return switch (random.nextInt(8)) {
            case 0, 1 -> new BackendIsKilled();
            case 2 -> new BackendStops();
            case 3, 4 -> new BackendStarts();
            case 5 -> new ImageIsTaken(random.nextBoolean());
            default -> new ImageGrows();
        };
    }

    private static LifeStep ofStore(Random random, Program of) {
        return switch (random.nextInt(9)) {
            case 0, 1, 2, 3 -> new StoreRefuses(of, pick(random, REFUSALS), 1 + random.nextInt(12));
            case 4 -> new StoreIsLost(of);
            case 5 -> new StoreIsBack(of);
            case 6, 7 -> new AnswerIsLost(of);
            default -> new FiresForNothing(of, random.nextInt(3));
        };
    }

    private static Program program(Random random) {
        return random.nextInt(3) == 0 ? Program.GUEST : Program.BACKEND;
    }

    private static <T> T pick(Random random, List<T> from) {
        return from.get(random.nextInt(from.size()));
    }

    /** What may stand in the place of a step of a fault. */
    static List<LifeStep> simpler(LifeStep step) {
        List<LifeStep> simpler = new ArrayList<>();
        switch (step) {
            case Turn(Program of, int which) when which > 0 -> simpler.add(new Turn(of, 0));
            case Deliver(Program to, int which) when which > 0 -> simpler.add(new Deliver(to, 0));
            case Pass(int millis) when millis > 1000 -> simpler.add(new Pass(1000));
            case StoreRefuses(Program program, Errno with, int calls)
            when calls > 1 -> {
                simpler.add(new StoreRefuses(program, with, 1));
                simpler.add(new StoreRefuses(program, with, calls - 1));
            }
            case Amid(Program of, int calls, LifeStep inner) -> {
                simpler.add(inner);
                if (calls > 1) {
                    simpler.add(new Amid(of, 1, inner));
                    simpler.add(new Amid(of, calls - 1, inner));
                }
            }
            case GuestSays(String state) when STATES.indexOf(state) > 8 -> simpler.add(new GuestSays("0"));
            default -> {}
        }
        return simpler;
    }
}
