package xenback.daemon;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;

/** Which Xen stands under the backend. */
enum XenChoice {
    /** The host's where this machine is a domain of one, the embedded one elsewhere. */
    AUTO,
    HOST,
    EMBEDDED;

    /** Where Linux says what it runs on; {@code xen} in every kind of domain. */
    static final Path HYPERVISOR_TYPE = Path.of("/sys/hypervisor/type");

    /** {@link #HOST} or {@link #EMBEDDED}. */
    XenChoice settle(Path hypervisorType) {
        if (this != AUTO) {
            return this;
        }
        try {
            return Files.readString(hypervisorType).strip().equals("xen") ? HOST : EMBEDDED;
        } catch (IOException noHypervisor) {
            return EMBEDDED;
        }
    }

    @Override
    public String toString() {
        return name().toLowerCase(Locale.ROOT);
    }
}
