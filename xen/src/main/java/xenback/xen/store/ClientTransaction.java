package xenback.xen.store;

import xenback.xen.Errno;
import xenback.xen.store.wire.MessageType;
import xenback.xen.store.wire.StoreMessage;

/** One attempt at a transaction. It ends with the connection on which it began. */
final class ClientTransaction extends StoreVerbs {
    private final DaemonConnection connection;
    private final int transactionId;
    private volatile boolean ended;

    private ClientTransaction(DaemonConnection connection, int transactionId) {
        this.connection = connection;
        this.transactionId = transactionId;
    }

    static ClientTransaction start(DaemonConnection connection) throws StoreException {
        String what = "start transaction";
        String body = connection.request(MessageType.TRANSACTION_START, 0, StoreMessage.strings(""), what);
        try {
            int id = Integer.parseUnsignedInt(String.join("", StoreMessage.parts(body)));
            return new ClientTransaction(connection, id);
        } catch (NumberFormatException e) {
            throw new StoreException(Errno.EIO, what, e);
        }
    }

    @Override
    String request(MessageType type, String body, String what) throws StoreException {
        if (ended) {
            throw new IllegalStateException("the transaction has ended");
        }
        return connection.request(type, transactionId, body, what);
    }

    /** EAGAIN if another change came between. */
    void commit() throws StoreException {
        ended = true;
        connection.request(MessageType.TRANSACTION_END, transactionId, StoreMessage.strings("T"), "commit");
    }

    /** Takes everything back, unless {@link #commit} was tried. Also on the way out of a failure, so it never fails. */
    void abortUnlessEnded() {
        if (ended) {
            return;
        }
        ended = true;
        try {
            connection.request(MessageType.TRANSACTION_END, transactionId, StoreMessage.strings("F"), "abort");
        } catch (StoreException e) {
            // Lost with its connection, or unknown to the daemon: either way nothing of it is left.
        }
    }
}
