package xenback.xen.embedded;

import java.util.List;
import xenback.xen.store.StorePermission;
import xenback.xen.store.StorePermission.Access;

/** The store's tree as it is now. Every change is told to the watches at once. */
final class LiveTree extends StoreView {
    private static final List<String> FIRST_PATHS =
            List.of("/tool", "/tool/xenstored", "/local", "/local/domain", "/local/domain/0");

    private final WatchSet watches;
    private long generation;

    LiveTree(WatchSet watches) {
        super(StoreNode.leaf("", permissionsOfTools(), 1));
        this.watches = watches;
        generation = 1;
        for (String path : FIRST_PATHS) {
            put(path, "", permissionsOfTools());
        }
    }

    private static List<StorePermission> permissionsOfTools() {
        return List.of(new StorePermission(Access.NONE, 0));
    }

    @Override
    boolean touch(String path) {
        return true;
    }

    @Override
    long nextGeneration() {
        return ++generation;
    }

    @Override
    void changed(String path, StoreNode before) {
        watches.fireChanged(path, before, root());
    }

    @Override
    void removed(String path, StoreNode before) {
        watches.fireRemoved(path, before, root());
    }

    @Override
    void noteWritten(String path, int bytes) {}

    /** Takes from a released domain what it owned and was allowed. */
    void forget(int domid) {
        root(root().forgetting(domid, nextGeneration()));
        forgetUsage(domid);
    }
}
