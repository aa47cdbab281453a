package xenback.block.nbd;

import xenback.block.disk.Disk;

/**
 * What handshake and client settled for one connection.
 *
 * @param transmissionFlags the NBD_FLAG_SEND_... bits that the client was told
 * @param structured true if the client asked for structured replies
 * @param extents true if the client selected base:allocation
 */
record NbdAgreement(NbdExport export, int transmissionFlags, boolean structured, boolean extents) {
    static NbdAgreement of(NbdExport export, boolean structured, boolean extents) {
        return new NbdAgreement(export, transmissionFlags(export.disk(), structured), structured, extents);
    }

    boolean offers(int flag) {
        return (transmissionFlags & flag) != 0;
    }

    /** A flag is offered only if the path under the export can do it ("Transmission flags"). */
    static int transmissionFlags(Disk disk, boolean structured) {
        int flags = NbdProtocol.SEND_HAS_FLAGS;
        // One queue serves all connections, so that a flush on one covers what was answered on any of them.
        flags |= NbdProtocol.SEND_CAN_MULTI_CONN;
        if (disk.canFlush()) {
            flags |= NbdProtocol.SEND_FLUSH | NbdProtocol.SEND_FUA;
        }
        if (disk.readOnly()) {
            flags |= NbdProtocol.SEND_READ_ONLY;
        } else {
            flags |= disk.canDiscard() ? NbdProtocol.SEND_TRIM : 0;
            flags |= disk.canWriteZeroes() ? NbdProtocol.SEND_WRITE_ZEROES : 0;
        }
        return structured ? flags | NbdProtocol.SEND_DF : flags;
    }
}
