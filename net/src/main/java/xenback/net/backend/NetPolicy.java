package xenback.net.backend;

import xenback.net.packet.Mac;
import xenback.net.packet.SourceFilter;

/**
 * What all queues of a session obey and what can change while they run. Written by the device's control thread and by the
 * control ring's loop, read by all queues; each value stands for itself.
 */
final class NetPolicy {
    final GuestGroups groups = new GuestGroups();
    private volatile RateLimit fromGuest = RateLimit.NONE;
    private volatile RateLimit toGuest = RateLimit.NONE;
    private volatile boolean groupsOnly;
    private volatile long onlyStation;
    private volatile int headroom;
    private volatile SourceFilter sources = SourceFilter.NONE;
    private volatile HashSetting hash = HashSetting.NONE;

    RateLimit fromGuest() {
        return fromGuest;
    }

    RateLimit toGuest() {
        return toGuest;
    }

    void limit(RateLimit fromGuestNow, RateLimit toGuestNow) {
        fromGuest = fromGuestNow;
        toGuest = toGuestNow;
    }

    /** Whether the guest gets frames for the groups of its list only. */
    boolean groupsOnly() {
        return groupsOnly;
    }

    void setGroupsOnly(boolean only) {
        groupsOnly = only;
    }

    /** The station whose frames alone the guest gets, as of {@link Mac#value}; 0: all. */
    long onlyStation() {
        return onlyStation;
    }

    void setOnlyStation(long station) {
        onlyStation = station;
    }

    /** Bytes to leave free in front of each slot's data. */
    int headroom() {
        return headroom;
    }

    void setHeadroom(int bytes) {
        headroom = bytes;
    }

    /** From whom frames of the guest may come. */
    SourceFilter sources() {
        return sources;
    }

    void setSources(SourceFilter filter) {
        sources = filter;
    }

    HashSetting hash() {
        return hash;
    }

    void setHash(HashSetting setting) {
        hash = setting;
    }

    /** Whether a frame for this address is the guest's. */
    boolean wants(long destination) {
        if ((destination >>> 40 & 1) != 0) {
            return !groupsOnly || destination == Mac.BROADCAST.value() || groups.contains(destination);
        }
        long station = onlyStation;
        return station == 0 || station == destination;
    }
}
