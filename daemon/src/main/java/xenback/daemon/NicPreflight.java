package xenback.daemon;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import xenback.xen.io.NetworkNamespace;

/** Looks at what all interfaces need before anything is started, as {@link DiskPreflight} does for disks. */
final class NicPreflight {
    private static final Path DEVICES = Path.of("/sys/class/net");

    private NicPreflight() {}

    /** Gives those numbers that have none, and refuses two of one number or name. */
    static List<NicSpec> numbered(List<NicSpec> nics) throws UserError {
        Map<Integer, Set<Integer>> taken = new HashMap<>();
        for (NicSpec nic : nics) {
            if (nic.devid().isPresent() && !of(taken, nic).add(nic.devid().get())) {
                throw UserError.usage(
                        "--vif " + nic.mac() + ": devid " + nic.devid().get() + " of domain " + nic.guestDomid()
                                + " is taken by another --vif; choose another devid or guest=N");
            }
        }
        List<NicSpec> numbered = new ArrayList<>();
        Set<String> names = new HashSet<>();
        for (NicSpec nic : nics) {
            int number = 0;
            while (nic.devid().isEmpty() && !of(taken, nic).add(number)) {
                number++;
            }
            NicSpec complete = nic.devid().isEmpty() ? nic.withDevid(number) : nic;
            if (complete.link() instanceof LinkSpec.Tap && !names.add(complete.tapName())) {
                throw UserError.usage("--vif " + nic.mac() + ": the name " + complete.tapName()
                        + " is taken by another --vif; choose another vifname");
            }
            numbered.add(complete);
        }
        return List.copyOf(numbered);
    }

    private static Set<Integer> of(Map<Integer, Set<Integer>> taken, NicSpec nic) {
        return taken.computeIfAbsent(nic.guestDomid(), _ -> new HashSet<>());
    }

    /** Refuses what cannot be served as asked. */
    static void check(List<NicSpec> nics, Optional<String> guestNamespace) throws UserError {
        for (NicSpec nic : nics) {
            if (nic.script().isPresent() && !Files.isExecutable(nic.script().get())) {
                throw UserError.failure(nic.script().get() + ": no such script, or it is not executable");
            }
            // With a script the bridge is its affair: Open vSwitch's are no devices of this kind.
            if (nic.script().isEmpty()
                    && nic.bridge().isPresent()
                    && !Files.exists(DEVICES.resolve(nic.bridge().get()).resolve("bridge"))) {
                throw UserError.failure("no bridge '" + nic.bridge().get() + "'; make it with: ip link add "
                        + nic.bridge().get() + " type bridge");
            }
        }
        if (guestNamespace.isPresent() && !NetworkNamespace.exists(guestNamespace.get())) {
            throw UserError.failure("no network namespace '" + guestNamespace.get() + "'; make it with: ip netns add "
                    + guestNamespace.get());
        }
    }
}
