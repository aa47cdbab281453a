package xenback.xen.embedded;

import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import xenback.xen.store.StorePermission;
import xenback.xen.store.StorePermission.Access;

/** Who watches, and what each may know. */
final class WatchSet {
    static final String INTRODUCE = "@introduceDomain";
    static final String RELEASE = "@releaseDomain";

    private final Set<ClientConnection> watchers = new LinkedHashSet<>();
    private final Map<String, List<StorePermission>> special = new HashMap<>();

    WatchSet() {
        special.put(INTRODUCE, List.of(new StorePermission(Access.NONE, 0)));
        special.put(RELEASE, List.of(new StorePermission(Access.NONE, 0)));
    }

    void add(ClientConnection watcher) {
        watchers.add(watcher);
    }

    void remove(ClientConnection watcher) {
        watchers.remove(watcher);
    }

    /** Tells the watches at and above a node that was made, written, or got other permissions. */
    void fireChanged(String path, StoreNode before, StoreNode after) {
        for (ClientConnection watcher : watchers) {
            if (visible(watcher.domain(), path, before, after)) {
                for (ServerWatch watch : watcher.watches()) {
                    if (ServerWatch.isAtOrBelow(path, watch.path())) {
                        watcher.event(watch, path);
                    }
                }
            }
        }
    }

    /** As {@link #fireChanged} for a node removed with all below it; watches further down are told their own path. */
    void fireRemoved(String path, StoreNode before, StoreNode after) {
        fireChanged(path, before, after);
        for (ClientConnection watcher : watchers) {
            for (ServerWatch watch : watcher.watches()) {
                if (!watch.path().equals(path)
                        && ServerWatch.isAtOrBelow(watch.path(), path)
                        && visible(watcher.domain(), watch.path(), before, after)) {
                    watcher.event(watch, watch.path());
                }
            }
        }
    }

    void fireSpecial(String name) {
        List<StorePermission> permissions = special.getOrDefault(name, List.of(new StorePermission(Access.NONE, 0)));
        for (ClientConnection watcher : watchers) {
            if (watcher.domain().mayRead(permissions)) {
                for (ServerWatch watch : watcher.watches()) {
                    if (watch.path().equals(name)) {
                        watcher.event(watch, name);
                    }
                }
            }
        }
    }

    /** False if there is no special watch of that name. */
    boolean specialPermissions(String name, List<StorePermission> permissions) {
        return special.replace(name, permissions) != null;
    }

    /** Takes back what a released domain was allowed. */
    void forget(int domid) {
        special.replaceAll((name, permissions) -> StoreNode.forgetting(permissions, domid));
    }

    /**
     * XSA-115: an event goes to who may read the node or its parent, before or after the change. The parent, because its
     * child list tells as much; before, because who loses a right must learn of it.
     */
    private static boolean visible(StoreDomain domain, String path, StoreNode before, StoreNode after) {
        if (domain.privileged()) {
            return true;
        }
        String parent = StoreVerbs.parentOf(path);
        return domain.mayRead(before.findNearest(path).permissions())
                || domain.mayRead(after.findNearest(path).permissions())
                || domain.mayRead(before.findNearest(parent).permissions())
                || domain.mayRead(after.findNearest(parent).permissions());
    }
}
