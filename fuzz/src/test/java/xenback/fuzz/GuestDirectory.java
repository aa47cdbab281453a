package xenback.fuzz;

import java.util.List;
import java.util.Map;
import java.util.Optional;
import xenback.xen.store.StoreException;
import xenback.xen.store.StorePath;
import xenback.xen.store.StorePermission;
import xenback.xen.store.StoreWatch;
import xenback.xen.store.XenStore;

/** A frontend's directory: what a transaction reads of it, and nothing else. */
public final class GuestDirectory implements XenStore {
    private final StorePath frontend;
    private final Map<String, String> nodes;
    private int reads;

    /** @param nodes values by their paths below the directory */
    public GuestDirectory(StorePath frontend, Map<String, String> nodes) {
        this.frontend = frontend;
        this.nodes = nodes;
    }

    /** How many nodes were read. */
    public int reads() {
        return reads;
    }

    @Override
    public <T> T transaction(TransactionWork<T> work) throws StoreException {
        return work.run(this);
    }

    @Override
    public Optional<String> read(StorePath path) {
        reads++;
        String below = path.text().substring(frontend.text().length() + 1);
        return Optional.ofNullable(nodes.get(below));
    }

    @Override
    public boolean exists(StorePath path) {
        return read(path).isPresent();
    }

    @Override
    public List<String> directory(StorePath path) {
        throw refuse();
    }

    @Override
    public void write(StorePath path, String value) {
        throw refuse();
    }

    @Override
    public void mkdir(StorePath path) {
        throw refuse();
    }

    @Override
    public void remove(StorePath path) {
        throw refuse();
    }

    @Override
    public List<StorePermission> permissions(StorePath path) {
        throw refuse();
    }

    @Override
    public void setPermissions(StorePath path, List<StorePermission> permissions) {
        throw refuse();
    }

    @Override
    public StoreWatch watch(StorePath path, WatchListener listener) {
        throw refuse();
    }

    @Override
    public StoreWatch watchSpecial(String name, WatchListener listener) {
        throw refuse();
    }

    @Override
    public StorePath domainPath(int domid) {
        throw refuse();
    }

    @Override
    public boolean isConnected() {
        return true;
    }

    @Override
    public void close() {}

    private static AssertionError refuse() {
        return new AssertionError("reading parameters reads and does nothing else");
    }
}
