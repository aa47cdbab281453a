package xenback.block.nbd;

import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/** The numbers of the NBD protocol, named as in proto.md. All integers on the wire are big-endian and unaligned. */
final class NbdProtocol {
    static final ValueLayout.OfShort U16 = ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.BIG_ENDIAN);
    static final ValueLayout.OfInt U32 = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.BIG_ENDIAN);
    static final ValueLayout.OfLong U64 = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.BIG_ENDIAN);

    // "Newstyle negotiation": the server speaks first.
    static final long NBDMAGIC = 0x4e42444d41474943L;
    static final long IHAVEOPT = 0x49484156454F5054L;
    static final int FLAG_FIXED_NEWSTYLE = 1;
    static final int FLAG_NO_ZEROES = 2;
    static final int GREETING_BYTES = 18;

    /** IHAVEOPT 64, option 32, length 32. */
    static final int OPTION_HEADER_BYTES = 16;

    static final int OPT_EXPORT_NAME = 1;
    static final int OPT_ABORT = 2;
    static final int OPT_LIST = 3;
    static final int OPT_INFO = 6;
    static final int OPT_GO = 7;
    static final int OPT_STRUCTURED_REPLY = 8;
    static final int OPT_LIST_META_CONTEXT = 9;
    static final int OPT_SET_META_CONTEXT = 10;

    /** Magic 64, option 32, reply type 32, length 32. */
    static final int OPTION_REPLY_HEADER_BYTES = 20;

    static final long OPTION_REPLY_MAGIC = 0x3e889045565a9L;
    static final int REP_ACK = 1;
    static final int REP_SERVER = 2;
    static final int REP_INFO = 3;
    static final int REP_META_CONTEXT = 4;
    static final int REP_ERR_UNSUP = 0x8000_0001;
    static final int REP_ERR_INVALID = 0x8000_0003;
    static final int REP_ERR_UNKNOWN = 0x8000_0006;
    static final int REP_ERR_TOO_BIG = 0x8000_0009;

    static final int INFO_EXPORT = 0;
    static final int INFO_NAME = 1;
    static final int INFO_DESCRIPTION = 2;
    static final int INFO_BLOCK_SIZE = 3;

    // "Transmission flags".
    static final int SEND_HAS_FLAGS = 1;
    static final int SEND_READ_ONLY = 1 << 1;
    static final int SEND_FLUSH = 1 << 2;
    static final int SEND_FUA = 1 << 3;
    static final int SEND_TRIM = 1 << 5;
    static final int SEND_WRITE_ZEROES = 1 << 6;
    static final int SEND_DF = 1 << 7;
    static final int SEND_CAN_MULTI_CONN = 1 << 8;

    // "Request message": magic 32, flags 16, type 16, cookie 64, offset 64, length 32.
    static final int REQUEST_MAGIC = 0x25609513;
    static final int REQUEST_BYTES = 28;
    static final int REQUEST_FLAGS = 4;
    static final int REQUEST_TYPE = 6;
    static final int REQUEST_COOKIE = 8;
    static final int REQUEST_OFFSET = 16;
    static final int REQUEST_LENGTH = 24;

    static final int CMD_READ = 0;
    static final int CMD_WRITE = 1;
    static final int CMD_DISC = 2;
    static final int CMD_FLUSH = 3;
    static final int CMD_TRIM = 4;
    static final int CMD_WRITE_ZEROES = 6;
    static final int CMD_BLOCK_STATUS = 7;

    static final int CMD_FLAG_FUA = 1;
    static final int CMD_FLAG_NO_HOLE = 1 << 1;
    static final int CMD_FLAG_DF = 1 << 2;
    static final int CMD_FLAG_REQ_ONE = 1 << 3;

    // "Simple reply message": magic 32, error 32, cookie 64.
    static final int SIMPLE_REPLY_MAGIC = 0x67446698;
    static final int SIMPLE_REPLY_BYTES = 16;

    // "Structured reply chunk message": magic 32, flags 16, type 16, cookie 64, length 32, payload.
    static final int CHUNK_MAGIC = 0x668e33ef;
    static final int CHUNK_HEADER_BYTES = 20;
    static final int CHUNK_FLAG_DONE = 1;
    static final int CHUNK_NONE = 0;
    static final int CHUNK_OFFSET_DATA = 1;
    static final int CHUNK_BLOCK_STATUS = 5;
    static final int CHUNK_ERROR = 0x8001;

    /** Payload of an ERROR chunk without a message: error 32, message length 16. */
    static final int CHUNK_ERROR_PAYLOAD_BYTES = 6;

    static final String BASE_ALLOCATION = "base:allocation";
    static final int STATE_HOLE = 1;
    static final int STATE_ZERO = 2;

    // "Error values": the only ones that may travel.
    static final int OK = 0;
    static final int EPERM = 1;
    static final int EIO = 5;
    static final int ENOMEM = 12;
    static final int EINVAL = 22;
    static final int ENOSPC = 28;
    static final int EOVERFLOW = 75;
    static final int ENOTSUP = 95;
    static final int ESHUTDOWN = 108;

    /** The longest payload of a read or a write, as NBD_INFO_BLOCK_SIZE says it; what every known client assumes. */
    static final int MAX_PAYLOAD_BYTES = 32 << 20;

    /** The longest name and description that proto.md recommends. */
    static final int MAX_STRING_BYTES = 256;

    private NbdProtocol() {}

    /** The error value for a disk's result: 0, or what comes nearest to a negative Linux errno ("Error values"). */
    static int errorOf(int result) {
        return switch (-result) {
            case 0 -> OK;
            case 1, 13, 30 -> EPERM; // EPERM, EACCES, EROFS
            case 12 -> ENOMEM;
            case 22 -> EINVAL;
            case 27, 28, 122 -> ENOSPC; // EFBIG, ENOSPC, EDQUOT: asked for by proto.md
            case 75 -> EOVERFLOW;
            case 95 -> ENOTSUP; // EOPNOTSUPP is ENOTSUP on Linux
            case 108 -> ESHUTDOWN;
            default -> result < 0 ? EIO : OK;
        };
    }
}
