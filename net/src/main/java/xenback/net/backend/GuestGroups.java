package xenback.net.backend;

import java.util.Arrays;

/**
 * The group addresses that a guest listens to (netif.h, "multicast control"), one list for all its queues: changed on any of
 * their threads and read by all, without a lock for readers.
 */
final class GuestGroups {
    /** As with Linux' xen-netback (XEN_NETBK_MCAST_MAX). */
    static final int MOST = 64;

    private volatile long[] groups = {};

    /** Adds one; an address may be in the list more than once. False if the list is full. */
    synchronized boolean add(long group) {
        long[] old = groups;
        if (old.length == MOST) {
            return false;
        }
        long[] more = Arrays.copyOf(old, old.length + 1);
        more[old.length] = group;
        groups = more;
        return true;
    }

    /** Removes one of an address. One that is not there is no error. */
    synchronized void remove(long group) {
        long[] old = groups;
        for (int i = 0; i < old.length; i++) {
            if (old[i] == group) {
                long[] rest = Arrays.copyOf(old, old.length - 1);
                System.arraycopy(old, i + 1, rest, i, rest.length - i);
                groups = rest;
                return;
            }
        }
    }

    boolean contains(long group) {
        for (long known : groups) {
            if (known == group) {
                return true;
            }
        }
        return false;
    }
}
