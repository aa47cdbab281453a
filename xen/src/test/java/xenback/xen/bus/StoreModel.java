package xenback.xen.bus;

import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.NavigableMap;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Consumer;
import xenback.xen.Errno;
import xenback.xen.store.StoreAccess;
import xenback.xen.store.StoreException;
import xenback.xen.store.StorePath;
import xenback.xen.store.StorePermission;
import xenback.xen.store.StoreWatch;
import xenback.xen.store.XenStore;

/**
 * A xenstored for model tests: one thread, every watch event held back until the test delivers it, coalesced and in any order,
 * and every way to fail at the test's command. What goes over the wire and who may do what is tested with the real ones.
 */
final class StoreModel {
    /** Told of what was committed. */
    interface Listener {
        /**
         * After a commit.
         *
         * @param client who committed
         * @param before all nodes before; not to be changed
         * @param changed the nodes that were written or removed
         */
        void committed(Client client, Map<String, String> before, Set<String> changed);
    }

    private NavigableMap<String, String> nodes = new TreeMap<>();
    private long changes;

    /** When each node, present or gone, was last changed. */
    private final Map<String, Long> changedAt = new TreeMap<>();

    private final List<Client> clients = new ArrayList<>();
    private final List<Listener> listeners = new ArrayList<>();

    StoreModel() {
        nodes.put("/", "");
    }

    void listen(Listener listener) {
        listeners.add(listener);
    }

    Client connect(String name) {
        Client client = new Client(name);
        clients.add(client);
        return client;
    }

    /** What a node holds, for the test. */
    Optional<String> value(String path) {
        return Optional.ofNullable(nodes.get(path));
    }

    List<String> pathsBelow(String path) {
        return nodes.tailMap(path + "/").keySet().stream()
                .takeWhile(each -> each.startsWith(path + "/"))
                .toList();
    }

    private void commit(Client by, NavigableMap<String, String> after, Set<String> written, Set<String> removed) {
        if (written.isEmpty() && removed.isEmpty()) {
            return;
        }
        NavigableMap<String, String> before = nodes;
        nodes = after;
        changes++;
        for (Client client : clients) {
            client.fire(written, removed);
        }
        Set<String> changed = new LinkedHashSet<>(written);
        changed.addAll(removed);
        before.keySet().stream().filter(path -> !after.containsKey(path)).forEach(changed::add);
        changed.forEach(path -> changedAt.put(path, changes));
        for (Listener listener : listeners) {
            listener.committed(by, before, changed);
        }
    }

    /** The nodes as one caller sees them, and what it did to its copy of them. */
    private static final class View {
        private NavigableMap<String, String> nodes;
        private boolean copied;

        /** The nodes that were read or changed; a transaction of which another changed one meanwhile is a conflict. */
        final Set<String> touched = new LinkedHashSet<>();

        final List<Consumer<View>> deeds = new ArrayList<>();
        final Set<String> written = new LinkedHashSet<>();
        final Set<String> removed = new LinkedHashSet<>();

        View(NavigableMap<String, String> base) {
            nodes = base;
        }

        private void copy() {
            if (!copied) {
                copied = true;
                nodes = new TreeMap<>(nodes);
            }
        }

        void write(String path, String value) {
            copy();
            touched.add(path);
            deeds.add(view -> view.write(path, value));
            for (int slash = path.indexOf('/', 1); slash > 0; slash = path.indexOf('/', slash + 1)) {
                if (nodes.putIfAbsent(path.substring(0, slash), "") == null) {
                    written.add(path.substring(0, slash));
                }
            }
            nodes.put(path, value);
            written.add(path);
        }

        void remove(String path) {
            copy();
            touched.add(path);
            deeds.add(view -> view.remove(path));
            if (nodes.remove(path) != null) {
                nodes.keySet().removeIf(each -> each.startsWith(path + "/"));
                removed.add(path);
            }
        }
    }

    /** One program's connection. */
    final class Client implements XenStore {
        private final String name;
        private final List<Watch> watches = new ArrayList<>();
        private final Set<String> unreadable = new LinkedHashSet<>();
        private final Set<String> unwritable = new LinkedHashSet<>();
        private final List<Errno> failures = new ArrayList<>();
        private final TreeMap<Integer, Runnable> amid = new TreeMap<>();
        private boolean lost;
        private boolean dead;
        private boolean losesAnswerToCommit;
        private int calls;

        Client(String name) {
            this.name = name;
        }

        String name() {
            return name;
        }

        /** The next calls that reach the daemon fail, one with each. */
        void fail(Errno... with) {
            failures.addAll(List.of(with));
        }

        /** The next transaction is committed, and then the connection fails before the answer. */
        void loseAnswerToCommit() {
            losesAnswerToCommit = true;
        }

        /** The daemon does not answer, and what it reports is lost. */
        void lose() {
            lost = true;
            watches.forEach(watch -> watch.pending.clear());
        }

        /** It is back; as the real client does, every watch is registered anew and so fires. */
        void comeBack() {
            if (lost) {
                lost = false;
                watches.forEach(watch -> watch.pending.add(watch.path));
            }
        }

        /** Every fault that waits is taken back, and the connection too if it is lost. */
        void heal() {
            failures.clear();
            losesAnswerToCommit = false;
            amid.clear();
            comeBack();
        }

        /** Something that others do between two calls of this client: before the call that many calls from now. */
        void amid(int callsFromNow, Runnable deed) {
            amid.merge(calls + callsFromNow, deed, (first, second) -> () -> {
                first.run();
                second.run();
            });
        }

        void denyReading(String path) {
            unreadable.add(path);
        }

        /** Writing there exceeds a quota. */
        void refuseWriting(String path) {
            unwritable.add(path);
        }

        void allowReading(String path) {
            unreadable.remove(path);
        }

        /** The program dies, and the next one finds the store in the same mood, but for what was to happen amid its calls. */
        Client successor() {
            Client next = StoreModel.this.connect(name);
            kill();
            next.failures.addAll(failures);
            next.unreadable.addAll(unreadable);
            next.lost = lost;
            next.losesAnswerToCommit = losesAnswerToCommit;
            return next;
        }

        /** The program dies. */
        void kill() {
            dead = true;
            watches.clear();
        }

        int calls() {
            return calls;
        }

        List<Watch> watches() {
            return List.copyOf(watches);
        }

        List<Watch> firing() {
            return watches.stream().filter(watch -> !watch.pending.isEmpty()).toList();
        }

        /** Delivers all that waits to all watches, until nothing waits. */
        void deliverAll() {
            for (List<Watch> firing = firing(); !firing.isEmpty(); firing = firing()) {
                firing.forEach(Watch::deliver);
            }
        }

        private void fire(Set<String> written, Set<String> removed) {
            if (lost || dead) {
                return;
            }
            for (Watch watch : watches) {
                for (String path : written) {
                    if (isAtOrBelow(path, watch.path)) {
                        watch.pending.add(path);
                    }
                }
                for (String path : removed) {
                    if (isAtOrBelow(path, watch.path)) {
                        watch.pending.add(path);
                    } else if (isAtOrBelow(watch.path, path)) {
                        watch.pending.add(watch.path);
                    }
                }
            }
        }

        private void call(String what) throws StoreException {
            if (dead) {
                throw new IllegalStateException(name + " is dead and calls " + what);
            }
            calls++;
            while (!amid.isEmpty() && amid.firstKey() <= calls) {
                amid.pollFirstEntry().getValue().run();
            }
            if (lost) {
                throw new StoreException(Errno.EIO, what);
            }
            if (!failures.isEmpty()) {
                throw new StoreException(failures.removeFirst(), what);
            }
        }

        @Override
        public <T> T transaction(TransactionWork<T> work) throws StoreException {
            for (int attempt = 1; ; attempt++) {
                call("transaction start");
                long begun = changes;
                View view = new View(nodes);
                T result = work.run(new Access(this, view, false));
                call("transaction end");
                if (view.touched.stream().noneMatch(path -> changedAt.getOrDefault(path, 0L) > begun)) {
                    View onTop = new View(nodes);
                    view.deeds.forEach(deed -> deed.accept(onTop));
                    commit(this, onTop.nodes, onTop.written, onTop.removed);
                    if (losesAnswerToCommit) {
                        losesAnswerToCommit = false;
                        throw new StoreException(Errno.EIO, "commit");
                    }
                    return result;
                }
                if (attempt == TRANSACTION_ATTEMPTS) {
                    throw new StoreException(Errno.EAGAIN, "commit");
                }
            }
        }

        private Access alone() {
            return new Access(this, new View(nodes), true);
        }

        @Override
        public Optional<String> read(StorePath path) throws StoreException {
            call("read " + path);
            return alone().readNow(path);
        }

        @Override
        public List<String> directory(StorePath path) throws StoreException {
            call("directory " + path);
            return alone().directoryNow(path);
        }

        @Override
        public boolean exists(StorePath path) throws StoreException {
            call("exists " + path);
            return alone().readNow(path).isPresent();
        }

        @Override
        public void write(StorePath path, String value) throws StoreException {
            call("write " + path);
            alone().writeNow(path, value);
        }

        @Override
        public void mkdir(StorePath path) throws StoreException {
            call("mkdir " + path);
            if (!nodes.containsKey(path.text())) {
                alone().writeNow(path, "");
            }
        }

        @Override
        public void remove(StorePath path) throws StoreException {
            call("remove " + path);
            alone().removeNow(path);
        }

        @Override
        public List<StorePermission> permissions(StorePath path) {
            return List.of();
        }

        @Override
        public void setPermissions(StorePath path, List<StorePermission> permissions) {}

        @Override
        public StoreWatch watch(StorePath path, WatchListener listener) throws StoreException {
            call("watch " + path);
            Watch watch = new Watch(path.text(), listener);
            watches.add(watch);
            return () -> watches.remove(watch);
        }

        @Override
        public StoreWatch watchSpecial(String special, WatchListener listener) throws StoreException {
            call("watch " + special);
            return () -> {};
        }

        @Override
        public StorePath domainPath(int domid) throws StoreException {
            call("domain path");
            return StorePath.of("/local/domain/" + domid);
        }

        @Override
        public boolean isConnected() {
            return !lost;
        }

        @Override
        public void close() {
            kill();
        }

        /** A watch and what it has not told yet. */
        static final class Watch {
            private final String path;
            private final WatchListener listener;
            private final Set<String> pending = new LinkedHashSet<>();

            Watch(String path, WatchListener listener) {
                this.path = path;
                this.listener = listener;
                pending.add(path);
            }

            void deliver() {
                List<String> paths = List.copyOf(pending);
                pending.clear();
                listener.onChange(paths);
            }

            /** It fires for nothing, as watches may. */
            void fireForNothing() {
                pending.add(path);
            }
        }
    }

    /** The verbs on a view, each a call of its client. */
    private final class Access implements StoreAccess {
        private final Client client;
        private final View view;
        private final boolean alone;

        Access(Client client, View view, boolean alone) {
            this.client = client;
            this.view = view;
            this.alone = alone;
        }

        Optional<String> readNow(StorePath path) throws StoreException {
            if (client.unreadable.contains(path.text())) {
                throw new StoreException(Errno.EACCES, "read " + path);
            }
            view.touched.add(path.text());
            return Optional.ofNullable(view.nodes.get(path.text()));
        }

        List<String> directoryNow(StorePath path) {
            String top = path.text() + "/";
            view.touched.add(path.text());
            return view.nodes.tailMap(top).keySet().stream()
                    .takeWhile(each -> each.startsWith(top))
                    .map(each -> each.substring(top.length()))
                    .filter(each -> each.indexOf('/') < 0)
                    .toList();
        }

        void writeNow(StorePath path, String value) throws StoreException {
            if (client.unwritable.contains(path.text())) {
                throw new StoreException(Errno.ENOSPC, "write " + path);
            }
            view.write(path.text(), value);
            end();
        }

        void removeNow(StorePath path) {
            view.remove(path.text());
            end();
        }

        private void end() {
            if (alone) {
                commit(client, view.nodes, view.written, view.removed);
            }
        }

        @Override
        public Optional<String> read(StorePath path) throws StoreException {
            client.call("read " + path);
            return readNow(path);
        }

        @Override
        public List<String> directory(StorePath path) throws StoreException {
            client.call("directory " + path);
            return directoryNow(path);
        }

        @Override
        public boolean exists(StorePath path) throws StoreException {
            client.call("exists " + path);
            return readNow(path).isPresent();
        }

        @Override
        public void write(StorePath path, String value) throws StoreException {
            client.call("write " + path);
            writeNow(path, value);
        }

        @Override
        public void mkdir(StorePath path) throws StoreException {
            client.call("mkdir " + path);
            if (!view.nodes.containsKey(path.text())) {
                writeNow(path, "");
            }
        }

        @Override
        public void remove(StorePath path) throws StoreException {
            client.call("remove " + path);
            removeNow(path);
        }

        @Override
        public List<StorePermission> permissions(StorePath path) {
            return List.of();
        }

        @Override
        public void setPermissions(StorePath path, List<StorePermission> permissions) {}
    }

    private static boolean isAtOrBelow(String path, String top) {
        return path.startsWith(top) && (path.length() == top.length() || path.charAt(top.length()) == '/');
    }
}
