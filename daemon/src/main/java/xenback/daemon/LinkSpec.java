package xenback.daemon;

import java.nio.file.InvalidPathException;
import java.nio.file.Path;

/** Where the backend's end of an interface leads. */
sealed interface LinkSpec {
    /** An Ethernet device of this machine. */
    record Tap() implements LinkSpec {
        @Override
        public String toString() {
            return "tap";
        }
    }

    /** A file that keeps what the guest sends. */
    record Pcap(Path file) implements LinkSpec {
        @Override
        public String toString() {
            return "pcap:" + file;
        }
    }

    /** All other interfaces of that name in this process. */
    record HubOf(String name) implements LinkSpec {
        @Override
        public String toString() {
            return "hub:" + name;
        }
    }

    /** Nowhere. */
    record Nowhere() implements LinkSpec {
        @Override
        public String toString() {
            return "null";
        }
    }

    /** Back to the guest. */
    record Back() implements LinkSpec {
        @Override
        public String toString() {
            return "loop";
        }
    }

    static LinkSpec parse(String text) throws UserError {
        if (text.startsWith("pcap:") && text.length() > "pcap:".length()) {
            try {
                return new Pcap(Path.of(text.substring("pcap:".length())));
            } catch (InvalidPathException e) {
                throw UserError.usage("bad link '" + text + "': " + e.getReason());
            }
        }
        if (text.matches("hub:[-._a-zA-Z0-9]{1,64}")) {
            return new HubOf(text.substring("hub:".length()));
        }
        return switch (text) {
            case "tap" -> new Tap();
            case "null" -> new Nowhere();
            case "loop" -> new Back();
            default -> throw UserError.usage("bad link '" + text + "'; known: tap, pcap:FILE, hub:NAME, null, loop");
        };
    }
}
