package xenback.daemon;

import java.util.List;
import xenback.block.backend.BlockBackend;
import xenback.block.protocol.Vdev;

/**
 * A disk that is served, for those who look at it.
 *
 * @param name the frontend's name of it, such as {@code xbd0}; on a host, where only it knows, the interface's
 */
record DiskView(String name, BlockBackend backend, BlockBackend.Row row) {
    String interfaceName() {
        return row.name();
    }

    Vdev vdev() {
        return new Vdev(row.vdev());
    }

    List<String> rings() {
        return backend.rings(row.name());
    }
}
