package xenback.net;

import xenback.net.link.Link;
import xenback.net.link.LinkQueue;
import xenback.net.packet.Mac;

/** A link that is its own only queue, and obeys nobody. */
abstract class OneQueueLink implements Link, LinkQueue {
    private final String name;

    OneQueueLink(String name) {
        this.name = name;
    }

    @Override
    public final String name() {
        return name;
    }

    @Override
    public final LinkQueue openQueue(int number) {
        return this;
    }

    @Override
    public final int mtu() {
        return 1500;
    }

    @Override
    public final void setMtu(int bytes) {}

    @Override
    public final void setMac(Mac mac) {}

    @Override
    public final void setCarrier(boolean on) {}

    @Override
    public final void setOffload(int mask) {}

    @Override
    public void close() {}
}
