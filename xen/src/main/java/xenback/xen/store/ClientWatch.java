package xenback.xen.store;

import java.util.LinkedHashSet;
import java.util.Set;

/** A watch and what changed below it since its listener was last called. */
final class ClientWatch implements StoreWatch {
    /** Paths kept apart; beyond, only the watched path is told, which is as good a hint and keeps a guest from growing us. */
    static final int MAX_CHANGED = 64;

    private final StoreClient client;
    final String path;
    final String token;
    final XenStore.WatchListener listener;

    /** Guarded by the dispatcher. */
    final Set<String> changed = new LinkedHashSet<>();

    volatile boolean closed;

    ClientWatch(StoreClient client, String path, String token, XenStore.WatchListener listener) {
        this.client = client;
        this.path = path;
        this.token = token;
        this.listener = listener;
    }

    @Override
    public void close() {
        client.unwatch(this);
    }
}
