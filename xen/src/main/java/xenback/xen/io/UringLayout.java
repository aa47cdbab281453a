package xenback.xen.io;

/** Offsets and numbers of io_uring ({@code linux/io_uring.h}). Bytes; little endian; identical on x86-64 and arm64. */
final class UringLayout {
    // struct io_uring_params
    static final int PARAMS_BYTES = 120;
    static final int PARAMS_CQ_ENTRIES = 4;
    static final int PARAMS_FLAGS = 8;
    static final int PARAMS_FEATURES = 20;
    static final int PARAMS_SQ_ENTRIES = 0;
    static final int SQ_OFF = 40;
    static final int CQ_OFF = 80;

    // struct io_sqring_offsets, relative to SQ_OFF
    static final int SQ_OFF_HEAD = 0;
    static final int SQ_OFF_TAIL = 4;
    static final int SQ_OFF_MASK = 8;
    static final int SQ_OFF_ARRAY = 24;

    // struct io_cqring_offsets, relative to CQ_OFF
    static final int CQ_OFF_HEAD = 0;
    static final int CQ_OFF_TAIL = 4;
    static final int CQ_OFF_MASK = 8;
    static final int CQ_OFF_CQES = 20;

    static final int FEATURE_SINGLE_MMAP = 1;
    static final int FEATURE_NODROP = 1 << 1;
    static final int FEATURE_CQE_SKIP = 1 << 11;

    /** In an entry's flags: the next one starts when this one has succeeded, and is cancelled if it fails. */
    static final int SQE_IO_LINK = 1 << 2;

    /** In an entry's flags: no completion is posted for a success (FEATURE_CQE_SKIP, Linux 5.17). */
    static final int SQE_CQE_SKIP_SUCCESS = 1 << 6;

    static final int SETUP_CQSIZE = 1 << 3;
    static final int SETUP_CLAMP = 1 << 4;
    static final int SETUP_SUBMIT_ALL = 1 << 7;
    static final int SETUP_SINGLE_ISSUER = 1 << 12;
    static final int SETUP_DEFER_TASKRUN = 1 << 13;

    static final long MMAP_SQ_RING = 0;
    static final long MMAP_SQES = 0x10000000L;

    static final int ENTER_GETEVENTS = 1;

    // struct io_uring_sqe
    static final int SQE_BYTES = 64;
    static final int SQE_OPCODE = 0; // u8, then flags u8 at bit 8 and ioprio u16
    static final int SQE_FD = 4; // s32
    static final int SQE_OFF = 8; // u64
    static final int SQE_ADDR = 16; // u64
    static final int SQE_LEN = 24; // u32
    static final int SQE_OP_FLAGS = 28; // u32: fsync, poll, msg and accept flags
    static final int SQE_USER_DATA = 32; // u64
    static final int SQE_REST = 40; // three u64 that stay zero

    // struct io_uring_cqe
    static final int CQE_BYTES = 16;
    static final int CQE_USER_DATA = 0; // u64
    static final int CQE_RES = 8; // s32

    static final int OP_READV = 1;
    static final int OP_WRITEV = 2;
    static final int OP_FSYNC = 3;
    static final int OP_POLL_ADD = 6;
    static final int OP_SENDMSG = 9;
    static final int OP_ACCEPT = 13;
    static final int OP_ASYNC_CANCEL = 14; // addr: the user data of what is cancelled
    static final int OP_FALLOCATE = 17; // off: offset, addr: length, len: mode
    static final int OP_READ = 22;
    static final int OP_WRITE = 23;
    static final int OP_RECV = 27;

    static final int FSYNC_DATASYNC = 1;

    // struct msghdr (socket.h, 64-bit)
    static final int MSGHDR_BYTES = 56;
    static final int MSGHDR_IOV = 16;
    static final int MSGHDR_IOVLEN = 24;
    static final int MSG_DONTWAIT = 0x40;
    static final int MSG_NOSIGNAL = 0x4000;

    static final int SOCK_CLOEXEC = 0x80000;

    private UringLayout() {}
}
