package xenback.block.nbd;

/** Which requests are refused before the disk sees them, and with what. Pure functions of the request. */
final class NbdRules {
    private NbdRules() {}

    /**
     * The NBD error value for a request, {@link NbdProtocol#OK} if it may run.
     *
     * @param sizeBytes the disk's size now
     * @param blockBytes granularity of offsets and lengths, a power of two
     */
    static int check(NbdRequest request, NbdAgreement agreement, long sizeBytes, int blockBytes) {
        int allowedFlags = allowedFlags(request.command, agreement);
        if (allowedFlags < 0 || (request.flags & ~allowedFlags) != 0) {
            return NbdProtocol.EINVAL;
        }
        if (request.modifies() && agreement.offers(NbdProtocol.SEND_READ_ONLY)) {
            return NbdProtocol.EPERM;
        }
        return switch (request.command) {
            case NbdProtocol.CMD_FLUSH -> checkFlush(request, agreement);
            case NbdProtocol.CMD_TRIM ->
                agreement.offers(NbdProtocol.SEND_TRIM)
                        ? checkRange(request, sizeBytes, blockBytes)
                        : NbdProtocol.EINVAL;
            case NbdProtocol.CMD_WRITE_ZEROES ->
                agreement.offers(NbdProtocol.SEND_WRITE_ZEROES)
                        ? checkRange(request, sizeBytes, blockBytes)
                        : NbdProtocol.EINVAL;
            case NbdProtocol.CMD_BLOCK_STATUS ->
                agreement.extents() && request.lengthBytes > 0
                        ? checkRange(request, sizeBytes, blockBytes)
                        : NbdProtocol.EINVAL;
            default -> checkPayload(request, sizeBytes, blockBytes);
        };
    }

    /** The flags a command may carry, -1 for an unknown command. FUA is valid for all commands where it was offered. */
    private static int allowedFlags(int command, NbdAgreement agreement) {
        int fua = agreement.offers(NbdProtocol.SEND_FUA) ? NbdProtocol.CMD_FLAG_FUA : 0;
        return switch (command) {
            case NbdProtocol.CMD_READ -> agreement.offers(NbdProtocol.SEND_DF) ? fua | NbdProtocol.CMD_FLAG_DF : fua;
            case NbdProtocol.CMD_WRITE, NbdProtocol.CMD_FLUSH, NbdProtocol.CMD_TRIM -> fua;
            case NbdProtocol.CMD_WRITE_ZEROES -> fua | NbdProtocol.CMD_FLAG_NO_HOLE;
            case NbdProtocol.CMD_BLOCK_STATUS -> fua | NbdProtocol.CMD_FLAG_REQ_ONE;
            default -> -1;
        };
    }

    private static int checkFlush(NbdRequest request, NbdAgreement agreement) {
        boolean plain = request.offsetBytes == 0 && request.lengthBytes == 0;
        return plain && agreement.offers(NbdProtocol.SEND_FLUSH) ? NbdProtocol.OK : NbdProtocol.EINVAL;
    }

    private static int checkPayload(NbdRequest request, long sizeBytes, int blockBytes) {
        int error = checkRange(request, sizeBytes, blockBytes);
        if (error == NbdProtocol.OK && request.lengthBytes > NbdProtocol.MAX_PAYLOAD_BYTES) {
            return (request.flags & NbdProtocol.CMD_FLAG_DF) != 0 ? NbdProtocol.EOVERFLOW : NbdProtocol.EINVAL;
        }
        return error;
    }

    /** "Error values": ENOSPC for a write beyond the end, EINVAL for anything else outside or between blocks. */
    private static int checkRange(NbdRequest request, long sizeBytes, int blockBytes) {
        long offset = request.offsetBytes;
        long length = request.lengthBytes;
        // The length is under 2^32 and the size a positive long, so the difference cannot overflow.
        if (offset < 0 || offset > sizeBytes - length) {
            boolean writes =
                    request.command == NbdProtocol.CMD_WRITE || request.command == NbdProtocol.CMD_WRITE_ZEROES;
            return writes ? NbdProtocol.ENOSPC : NbdProtocol.EINVAL;
        }
        return ((offset | length) & blockBytes - 1L) == 0 ? NbdProtocol.OK : NbdProtocol.EINVAL;
    }
}
