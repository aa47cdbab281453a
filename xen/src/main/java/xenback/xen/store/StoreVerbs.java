package xenback.xen.store;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import xenback.xen.Errno;
import xenback.xen.store.wire.MessageType;
import xenback.xen.store.wire.StoreMessage;

/** The verbs as messages; who sends them, and in which transaction, is the subclass's. */
abstract sealed class StoreVerbs implements StoreAccess permits StoreClient, ClientTransaction {
    /** Bound on a child list fetched in parts: about 10^5 names, far above any quota. */
    private static final int MAX_DIRECTORY_BYTES = 1 << 20;

    /** How often a child list is begun anew because it changed while being fetched. */
    private static final int DIRECTORY_ATTEMPTS = 10;

    /** Sends one request and returns the answer's body; {@code what} tells a reader of the log what was asked. */
    abstract String request(MessageType type, String body, String what) throws StoreException;

    @Override
    public Optional<String> read(StorePath path) throws StoreException {
        try {
            return Optional.of(request(MessageType.READ, StoreMessage.strings(path.text()), "read " + path));
        } catch (StoreException e) {
            return missing(e, Optional.empty());
        }
    }

    @Override
    public List<String> directory(StorePath path) throws StoreException {
        try {
            return StoreMessage.parts(
                    request(MessageType.DIRECTORY, StoreMessage.strings(path.text()), "directory " + path));
        } catch (StoreException e) {
            return e.errno() == Errno.E2BIG ? directoryInParts(path) : missing(e, List.of());
        }
    }

    private List<String> directoryInParts(StorePath path) throws StoreException {
        for (int attempt = 0; attempt < DIRECTORY_ATTEMPTS; attempt++) {
            Optional<List<String>> children = directoryOfOneGeneration(path);
            if (children.isPresent()) {
                return children.get();
            }
        }
        throw new StoreException(Errno.EAGAIN, "directory " + path + " changes all the time");
    }

    /** The children, gathered until the empty name that ends them; empty if the list changed between two parts. */
    private Optional<List<String>> directoryOfOneGeneration(StorePath path) throws StoreException {
        String what = "directory " + path;
        List<String> children = new ArrayList<>();
        String generation = "";
        int offsetBytes = 0;
        while (offsetBytes <= MAX_DIRECTORY_BYTES) {
            String request = StoreMessage.strings(path.text(), Integer.toString(offsetBytes));
            List<String> parts;
            try {
                parts = StoreMessage.parts(request(MessageType.DIRECTORY_PART, request, what));
            } catch (StoreException e) {
                return missing(e, Optional.of(List.of()));
            }
            if (parts.size() < 2) {
                throw new StoreException(Errno.EIO, what + ": a part without children");
            }
            if (offsetBytes > 0 && !parts.getFirst().equals(generation)) {
                return Optional.empty();
            }
            generation = parts.getFirst();
            for (String child : parts.subList(1, parts.size())) {
                if (child.isEmpty()) {
                    return Optional.of(children);
                }
                children.add(child);
                offsetBytes += child.length() + 1;
            }
        }
        throw new StoreException(Errno.E2BIG, what);
    }

    @Override
    public boolean exists(StorePath path) throws StoreException {
        return read(path).isPresent();
    }

    @Override
    public void write(StorePath path, String value) throws StoreException {
        for (int i = 0; i < value.length(); i++) {
            if (value.charAt(i) > 0xFF) {
                throw new IllegalArgumentException("value of " + path + " has a char that is no octet");
            }
        }
        request(MessageType.WRITE, path.text() + '\0' + value, "write " + path);
    }

    @Override
    public void mkdir(StorePath path) throws StoreException {
        request(MessageType.MKDIR, StoreMessage.strings(path.text()), "mkdir " + path);
    }

    @Override
    public void remove(StorePath path) throws StoreException {
        try {
            request(MessageType.RM, StoreMessage.strings(path.text()), "remove " + path);
        } catch (StoreException e) {
            missing(e, ""); // the daemon says ENOENT if even the parent is missing
        }
    }

    @Override
    public List<StorePermission> permissions(StorePath path) throws StoreException {
        String what = "permissions of " + path;
        List<StorePermission> permissions = new ArrayList<>();
        for (String part :
                StoreMessage.parts(request(MessageType.GET_PERMS, StoreMessage.strings(path.text()), what))) {
            try {
                permissions.add(StorePermission.parse(part));
            } catch (IllegalArgumentException e) {
                throw new StoreException(Errno.EIO, what, e);
            }
        }
        return permissions;
    }

    @Override
    public void setPermissions(StorePath path, List<StorePermission> permissions) throws StoreException {
        List<String> parts = new ArrayList<>();
        parts.add(path.text());
        permissions.forEach(permission -> parts.add(permission.text()));
        request(MessageType.SET_PERMS, StoreMessage.strings(parts), "set permissions of " + path);
    }

    private static <T> T missing(StoreException e, T answer) throws StoreException {
        if (e.errno() == Errno.ENOENT) {
            return answer;
        }
        throw e;
    }
}
