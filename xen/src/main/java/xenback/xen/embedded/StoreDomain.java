package xenback.xen.embedded;

import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.function.Predicate;
import xenback.xen.store.StorePath;
import xenback.xen.store.StorePermission;
import xenback.xen.store.StorePermission.Access;

/** One domain as the store knows it: its rights, and what its connections use together. */
final class StoreDomain {
    static final int LAST_DOMID = 0x7FEF;
    private static final int NO_TARGET = -1;

    private final int domid;
    private final String home;
    private int target = NO_TARGET;
    int watches;
    long watchBytes;
    final Set<StoreTransaction> transactions = new LinkedHashSet<>();
    final Set<ClientConnection> connections = new LinkedHashSet<>();

    StoreDomain(int domid) {
        this.domid = domid;
        home = homeOf(domid);
    }

    static String homeOf(int domid) {
        return "/local/domain/" + domid;
    }

    int domid() {
        return domid;
    }

    boolean privileged() {
        return domid == 0;
    }

    /** Gives this domain (a device model's) the rights of another. */
    void target(int targetDomid) {
        target = targetDomid;
    }

    int maxConnections() {
        return privileged() ? StoreQuota.PRIVILEGED_CONNECTIONS : StoreQuota.CONNECTIONS;
    }

    boolean mayRead(List<StorePermission> permissions) {
        return may(permissions, Access::mayRead);
    }

    boolean mayWrite(List<StorePermission> permissions) {
        return may(permissions, Access::mayWrite);
    }

    /** True for the owner, who may do everything. */
    boolean owns(List<StorePermission> permissions) {
        return privileged() || isMe(permissions.getFirst().domid());
    }

    private boolean may(List<StorePermission> permissions, Predicate<Access> wanted) {
        if (owns(permissions)) {
            return true;
        }
        for (StorePermission permission : permissions.subList(1, permissions.size())) {
            if (isMe(permission.domid())) {
                return wanted.test(permission.access());
            }
        }
        return wanted.test(permissions.getFirst().access());
    }

    private boolean isMe(int owner) {
        return owner == domid || owner == target;
    }

    /** The absolute form of what a message names; empty if it is no valid path. */
    String absolute(String text) {
        if (!StorePath.isValid(text)) {
            return "";
        }
        String path = text.startsWith("/") ? text : home + "/" + text;
        boolean tooLong = path.length() > StorePath.ABSOLUTE_MAX_BYTES
                || !privileged() && path.length() - homePrefixLength(path) > StoreQuota.PATH_BYTES;
        return tooLong ? "" : path;
    }

    /** The quota counts from below a domain's home, so that short and long numbers leave the same room. */
    private static int homePrefixLength(String path) {
        String homes = "/local/domain/";
        int end = path.startsWith(homes) ? path.indexOf('/', homes.length()) : -1;
        return Math.max(end + 1, 0);
    }

    /** The form in which a watch registered as {@code text} reports an absolute path at or below it. */
    String shown(String path, String text) {
        return text.startsWith("/") ? path : path.substring(home.length() + 1);
    }

    /** What watches and open transactions keep, beside the nodes. */
    long extraBytes() {
        long bytes = watchBytes;
        for (StoreTransaction transaction : transactions) {
            bytes += transaction.bytes();
        }
        return bytes;
    }
}
