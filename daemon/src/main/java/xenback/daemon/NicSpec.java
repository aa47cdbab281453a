package xenback.daemon;

import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ThreadLocalRandom;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import xenback.net.backend.NetBackend;
import xenback.net.packet.Mac;

/**
 * One interface of one guest, as typed: {@code key=value} of xl-network-configuration(5), and some keys of our own.
 *
 * @param mac the guest's address
 * @param addresses of the guest's end, with their prefixes
 * @param hostAddresses of the backend's end
 * @param name of the backend's TAP
 * @param guestName of the guest's TAP, {@code xn0}; none: by the order of the options
 * @param devid number among the guest's interfaces; none: by the order of the options
 * @param mtu bytes of payload, 68 to 65521
 * @param antispoof whether frames that do not come from {@code mac} and {@code addresses} are dropped
 * @param offload whether frames may be left unfinished between the guest and the link
 * @param script run as libxl runs it, in place of {@code bridge}
 * @param others nodes that only a script reads, such as {@code gatewaydev}
 */
record NicSpec(
        Mac mac,
        List<String> addresses,
        List<String> hostAddresses,
        int guestDomid,
        Optional<Integer> devid,
        Optional<String> name,
        Optional<String> guestName,
        int mtu,
        Optional<String> bridge,
        Optional<NicRate> rate,
        int queues,
        LinkSpec link,
        boolean antispoof,
        boolean offload,
        Optional<Path> script,
        Map<String, String> others) {
    /** RFC 791's least; and what is left of 65535 bytes beside an Ethernet header. */
    static final int LEAST_MTU = 68;

    static final int MOST_MTU = 65521;
    private static final int LAST_DOMID = 0x7FEF;
    private static final int MOST_QUEUES = 64;
    private static final int MOST_DEVID = 4095;

    /** IFNAMSIZ less the end; what the kernel refuses, and what a shell or a glob would take for something else. */
    private static final Pattern INTERFACE_NAME = Pattern.compile("[a-zA-Z0-9_][-.a-zA-Z0-9_]{0,14}");

    /** A script's affair: vif-openvswitch takes a VLAN after a point, and trunks after colons. */
    private static final Pattern BRIDGE_OF_SCRIPT = Pattern.compile("[a-zA-Z0-9_][-.:a-zA-Z0-9_]{0,254}");

    private static final Pattern ADDRESS = Pattern.compile("[0-9a-fA-F.:]+/[0-9]{1,3}");
    private static final List<String> OF_SCRIPTS = List.of("gatewaydev", "vlan");
    private static final String KNOWN =
            "mac, ip, host-ip, guest, devid, vifname, guest-name, mtu, bridge, rate, queues,"
                    + " link, antispoof, offload, script, type, gatewaydev, vlan";

    /** Reads one {@code --vif}. Nothing is looked up. */
    static NicSpec parse(String text) throws UserError {
        try {
            return read(text);
        } catch (UserError wrong) {
            throw UserError.usage("--vif " + text + ": " + wrong.getMessage());
        }
    }

    /** This one with a number among its guest's interfaces. */
    NicSpec withDevid(int number) {
        return new NicSpec(
                mac,
                addresses,
                hostAddresses,
                guestDomid,
                Optional.of(number),
                name,
                guestName,
                mtu,
                bridge,
                rate,
                queues,
                link,
                antispoof,
                offload,
                script,
                others);
    }

    /** The backend's name of it, {@code xnb1i0}; its number is known. */
    String interfaceName() {
        return NetBackend.interfaceName(guestDomid, devid.orElseThrow());
    }

    /** The name of the backend's Ethernet device. */
    String tapName() {
        return name.orElseGet(this::interfaceName);
    }

    private static NicSpec read(String text) throws UserError {
        Map<String, String> values = new HashMap<>();
        for (String word : text.split(",", -1)) {
            int equals = word.indexOf('=');
            String key = equals < 0 ? word.strip() : word.substring(0, equals).strip();
            String value = equals < 0 ? "" : word.substring(equals + 1).strip();
            if (!List.of(KNOWN.split(",\\s*", -1)).contains(key)) {
                throw UserError.usage(
                        key.equals("backend")
                                ? "backend= is for a toolstack that chooses a backend; xenback is the backend, leave it out"
                                : "unknown key '" + key + "'; known: " + KNOWN);
            }
            if (value.isEmpty()) {
                throw UserError.usage("no value for " + key + "; write it as mac=00:16:3e:00:00:01,ip=10.0.0.2/24");
            }
            if (values.putIfAbsent(key, value) != null) {
                throw UserError.usage(key + " is given twice");
            }
        }
        LinkSpec link = LinkSpec.parse(values.getOrDefault("link", "tap"));
        for (String key : List.of("vifname", "bridge", "script", "host-ip")) {
            if (values.containsKey(key) && !(link instanceof LinkSpec.Tap)) {
                throw UserError.usage(key + "= is for link=tap, not for link=" + link);
            }
        }
        if (values.containsKey("script") && values.containsKey("host-ip")) {
            throw UserError.usage("script= configures the interface; leave out host-ip=");
        }
        if (!values.getOrDefault("type", "vif").equals("vif")) {
            throw UserError.usage("bad type '" + values.get("type") + "'; known: vif (there is no emulated card)");
        }
        Map<String, String> others = new HashMap<>();
        OF_SCRIPTS.stream().filter(values::containsKey).forEach(key -> others.put(key, values.get(key)));
        return new NicSpec(
                mac(values.get("mac")),
                addresses(values.get("ip")),
                addresses(values.get("host-ip")),
                number("guest", values.getOrDefault("guest", "1"), 1, LAST_DOMID),
                values.containsKey("devid")
                        ? Optional.of(number("devid", values.get("devid"), 0, MOST_DEVID))
                        : Optional.empty(),
                interfaceName("vifname", values.get("vifname")),
                interfaceName("guest-name", values.get("guest-name")),
                number("mtu", values.getOrDefault("mtu", "1500"), LEAST_MTU, MOST_MTU),
                bridge(values.get("bridge"), values.containsKey("script")),
                values.containsKey("rate") ? Optional.of(NicRate.parse(values.get("rate"))) : Optional.empty(),
                number("queues", values.getOrDefault("queues", "1"), 1, MOST_QUEUES),
                link,
                isOn("antispoof", values.getOrDefault("antispoof", "off")),
                isOn("offload", values.getOrDefault("offload", "on")),
                script(values.get("script")),
                Map.copyOf(others));
    }

    /** Without one: any of those that Xen's project has been given, as xl chooses it. */
    private static Mac mac(@Nullable String text) throws UserError {
        if (text == null) {
            return new Mac(0x00163E000000L | ThreadLocalRandom.current().nextInt(1, 1 << 24));
        }
        Mac mac = Mac.parse(text)
                .orElseThrow(() -> UserError.usage("bad mac '" + text + "'; write it as 00:16:3e:00:00:01"));
        if (!mac.isStation()) {
            throw UserError.usage("bad mac '" + text + "': "
                    + (mac.isGroup() ? "it is a multicast address" : "it is zero")
                    + "; an interface has an address of its own, such as 00:16:3e:00:00:01");
        }
        return mac;
    }

    private static List<String> addresses(@Nullable String text) throws UserError {
        if (text == null) {
            return List.of();
        }
        List<String> addresses = List.of(text.split("\\s+", -1));
        for (String address : addresses) {
            if (!ADDRESS.matcher(address).matches()) {
                throw UserError.usage(
                        "bad address '" + address + "'; write it with its prefix, as 10.0.0.2/24 or fd00::2/64");
            }
        }
        return addresses;
    }

    private static Optional<String> interfaceName(String key, @Nullable String text) throws UserError {
        if (text == null) {
            return Optional.empty();
        }
        if (!INTERFACE_NAME.matcher(text).matches()) {
            throw UserError.usage(
                    "bad " + key + " '" + text + "'; an interface's name has 1 to 15 letters, digits, '.', '_' or '-'");
        }
        return Optional.of(text);
    }

    private static Optional<String> bridge(@Nullable String text, boolean ofScript) throws UserError {
        if (text == null || !ofScript) {
            return interfaceName("bridge", text);
        }
        if (!BRIDGE_OF_SCRIPT.matcher(text).matches()) {
            throw UserError.usage(
                    "bad bridge '" + text + "'; for a script it has letters, digits, '.', ':', '_' or '-'");
        }
        return Optional.of(text);
    }

    private static Optional<Path> script(@Nullable String text) throws UserError {
        if (text == null) {
            return Optional.empty();
        }
        try {
            return Optional.of(Path.of(text).toAbsolutePath());
        } catch (InvalidPathException e) {
            throw UserError.usage("'" + text + "' cannot be a path: " + e.getReason());
        }
    }

    private static boolean isOn(String key, String text) throws UserError {
        return switch (text) {
            case "on" -> true;
            case "off" -> false;
            default -> throw UserError.usage("bad " + key + " '" + text + "'; it is on or off");
        };
    }

    private static int number(String key, String text, int least, int most) throws UserError {
        if (text.matches("[0-9]{1,9}")) {
            int number = Integer.parseInt(text);
            if (number >= least && number <= most) {
                return number;
            }
        }
        throw UserError.usage("bad " + key + " '" + text + "'; it is a number from " + least + " to " + most);
    }
}
