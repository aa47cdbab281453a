package xenback.xen.store;

import java.util.List;
import java.util.Optional;
import xenback.xen.Errno;

/** The verbs that work inside and outside of a transaction. */
public interface StoreAccess {
    /** The value of a node; empty if there is no such node. */
    Optional<String> read(StorePath path) throws StoreException;

    /** Reads a value that must be there: ENOENT if it is not. */
    default String require(StorePath path) throws StoreException {
        return read(path).orElseThrow(() -> new StoreException(Errno.ENOENT, "read " + path));
    }

    /** The names of a node's children, any number of them; empty if there is no such node or it has none. */
    List<String> directory(StorePath path) throws StoreException;

    /** True if there is such a node. */
    boolean exists(StorePath path) throws StoreException;

    /** Writes a value; missing parents are made. */
    void write(StorePath path, String value) throws StoreException;

    /** Makes a node with an empty value; keeps one that is there. */
    void mkdir(StorePath path) throws StoreException;

    /** Removes a node and all below it; nothing happens if it is not there. */
    void remove(StorePath path) throws StoreException;

    /** The permissions of a node, the owner's first. */
    List<StorePermission> permissions(StorePath path) throws StoreException;

    /** Sets the permissions of a node, the owner's first. */
    void setPermissions(StorePath path, List<StorePermission> permissions) throws StoreException;
}
