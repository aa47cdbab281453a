package xenback.daemon;

import java.net.SocketAddress;
import java.net.UnixDomainSocketAddress;
import java.util.List;
import java.util.Optional;
import xenback.block.backend.BlockOptions;
import xenback.net.backend.NetOptions;
import xenback.xen.io.EventLoop;

/**
 * What {@code serve} was asked to do, checked.
 *
 * @param nics numbered
 * @param guestNamespace the network namespace of the guests' ends; none for our own
 * @param xen host or embedded, never auto
 * @param kinds the host's backend directories to serve, such as {@code vbd}
 * @param offers what the guests' disks may use of blkif
 * @param nicOffers the same of the guests' interfaces, on a host
 * @param nbdAddresses where NBD listens: unix sockets and TCP addresses; empty until {@link #below} chose one
 * @param verbosity how often {@code -v} was given
 */
record ServePlan(
        List<DiskSpec> disks,
        List<NicSpec> nics,
        Optional<String> guestNamespace,
        XenChoice xen,
        List<String> kinds,
        EventLoop.Engine io,
        BlockOptions offers,
        NetOptions nicOffers,
        List<SocketAddress> nbdAddresses,
        int verbosity) {

    /** This plan, with a socket in the run directory if no other address was asked for. */
    ServePlan below(RunDir runDir) throws UserError {
        if (!nbdAddresses.isEmpty() || disks.isEmpty()) {
            return this;
        }
        return new ServePlan(
                disks,
                nics,
                guestNamespace,
                xen,
                kinds,
                io,
                offers,
                nicOffers,
                List.of(UnixDomainSocketAddress.of(runDir.socket("nbd.sock"))),
                verbosity);
    }
}
