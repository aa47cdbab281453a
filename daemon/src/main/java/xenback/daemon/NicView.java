package xenback.daemon;

import java.util.List;
import java.util.Optional;
import xenback.net.backend.NetBackend;
import xenback.net.link.CapturedLink;

/**
 * An interface that is served, for those who look at it.
 *
 * @param name the frontend's name of it, such as {@code xn0}; on a host, where only it knows, the interface's
 * @param mac the guest's address, as the toolstack wrote it; empty if it did not
 * @param where what the backend's end is: {@code tap xnb1i0}, {@code hub:lan}
 */
record NicView(String name, String mac, String where, NetBackend backend, NetBackend.Row row) {
    /** Where captures listen, if they can. */
    Optional<CapturedLink> link() {
        return row.link() instanceof CapturedLink link ? Optional.of(link) : Optional.empty();
    }

    String interfaceName() {
        return row.name();
    }

    List<String> rings() {
        return backend.rings(row.name());
    }

    String control() {
        return backend.control(row.name());
    }
}
