package xenback.net.backend;

import java.util.List;
import java.util.Random;
import xenback.xen.bus.LifeDevice;

/** What can happen to an interface alone. */
sealed interface VifStep extends LifeDevice.Step {
    /** A node that the toolstack writes: what is read when the interface is opened, and what may change. */
    record Toolstack(String key, String value) implements VifStep {}

    /** A node that the frontend writes beside its rings. */
    record Guest(String key, String value) implements VifStep {}

    /** What the rings that the guest makes next are like. */
    record NextRings(LifeRings.Shape shape) implements VifStep {}

    record GuestUsesItsRings() implements VifStep {}

    record LinkIsSwitched(boolean on) implements VifStep {}

    record LinkHasMtu(int bytes) implements VifStep {}

    List<String> RATES = List.of("200000,50000", "1000000,100000", "", "0,50000", "10MB/s");
    List<String> MACS = List.of("00:16:3e:00:00:01", "00:16:3e:00:00:02", "", "01:00:5e:00:00:01", "x");
    List<String> MTUS = List.of("1500", "9000", "", "67", "x");
    List<String> HEADROOMS = List.of("0", "256", "2048", "2049", "", "x");

    static VifStep draw(Random random) {
        return switch (random.nextInt(10)) {
            case 0 -> new Toolstack("rate", pick(random, RATES));
            case 1 -> new Toolstack("rate-to-guest", pick(random, RATES));
            case 2 -> new Toolstack(random.nextBoolean() ? "mac" : "mtu", "");
            case 3 ->
                random.nextBoolean()
                        ? new Toolstack("mac", pick(random, MACS))
                        : new Toolstack("mtu", pick(random, MTUS));
            case 4 -> new Guest("request-multicast-control", pick(random, List.of("0", "1", "", "2")));
            case 5 -> new Guest("xdp-headroom", pick(random, HEADROOMS));
            case 6 ->
                new NextRings(new LifeRings.Shape(
                        1 + random.nextInt(3),
                        random.nextBoolean(),
                        random.nextBoolean(),
                        random.nextBoolean(),
                        random.nextBoolean()));
            case 7 -> new GuestUsesItsRings();
            case 8 -> new LinkIsSwitched(random.nextBoolean());
            default -> new LinkHasMtu(pick(random, List.of(1500, 9000, 1400)));
        };
    }

    private static <T> T pick(Random random, List<T> from) {
        return from.get(random.nextInt(from.size()));
    }
}
