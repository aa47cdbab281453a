package xenback.fuzz;

import java.util.Locale;
import xenback.block.backend.ParametersTarget;
import xenback.block.backend.RingTarget;
import xenback.block.nbd.NbdHandshakeTarget;
import xenback.block.nbd.NbdWireTarget;
import xenback.block.protocol.RequestTarget;
import xenback.net.backend.NetParametersTarget;
import xenback.net.backend.NetRingTarget;
import xenback.net.packet.FrameTarget;
import xenback.net.protocol.NetPacketTarget;
import xenback.xen.bus.DeviceTarget;
import xenback.xen.embedded.StoreDaemonTarget;
import xenback.xen.store.StoreClientTarget;

/** Every fuzz target; {@link #text} is its name on the command line and of its corpus. */
enum Target {
    REQUEST(RequestTarget::new),
    RING(RingTarget::new),
    PARAMETERS(ParametersTarget::new),
    DEVICE(DeviceTarget::new),
    STORE_DAEMON(StoreDaemonTarget::new),
    STORE_CLIENT(StoreClientTarget::new),
    NBD_HANDSHAKE(NbdHandshakeTarget::new),
    NBD_WIRE(NbdWireTarget::new),
    NET_PACKET(NetPacketTarget::new),
    NET_RING(NetRingTarget::new),
    NET_FRAME(FrameTarget::new),
    NET_PARAMETERS(NetParametersTarget::new);

    private final FuzzTarget.Maker maker;

    Target(FuzzTarget.Maker maker) {
        this.maker = maker;
    }

    FuzzTarget make() throws Exception {
        return maker.make();
    }

    String text() {
        return name().toLowerCase(Locale.ROOT).replace('_', '-');
    }

    static Target of(String text) {
        return valueOf(text.toUpperCase(Locale.ROOT).replace('-', '_'));
    }
}
