package xenback.net.link;

import xenback.net.packet.Mac;
import xenback.xen.XenException;

/** What the links have in common that no kernel stands behind. */
abstract sealed class SoftLink implements Link permits PcapLink, NullLink, LoopLink, Hub.Port {
    private static final int USUAL_MTU = 1500;

    private final String name;
    private volatile int mtu = USUAL_MTU;

    SoftLink(String name) {
        this.name = name;
    }

    @Override
    public final String name() {
        return name;
    }

    @Override
    public final int mtu() {
        return mtu;
    }

    @Override
    public final void setMtu(int bytes) {
        mtu = bytes;
    }

    /** Nobody asks for it. */
    @Override
    public final void setMac(Mac mac) {}

    /** Nobody looks at it. */
    @Override
    public void setCarrier(boolean on) throws XenException {}
}
