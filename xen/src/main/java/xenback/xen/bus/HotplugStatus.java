package xenback.xen.bus;

/** What the toolstack's hotplug script left in {@code hotplug-status} (facts of xen-hotplug-common.sh). */
public enum HotplugStatus {
    /** No script has spoken yet. */
    NONE,
    CONNECTED,
    /** {@code error} or {@code busy}: the script has given up. */
    FAILED;

    /** Reads the node's value; what is not known counts as nothing. */
    public static HotplugStatus parse(String text) {
        return switch (text) {
            case "connected" -> CONNECTED;
            case "error", "busy" -> FAILED;
            default -> NONE;
        };
    }
}
