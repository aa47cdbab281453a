package xenback.xen.bus;

import java.util.List;
import java.util.Map;
import java.util.Optional;
import xenback.xen.store.StoreAccess;
import xenback.xen.store.StoreException;
import xenback.xen.store.StorePath;

/** The two directories of a device in a {@link LifeWorld}, and what toolstack and guest write there. */
final class LifeNodes implements LifeDevice.Nodes {
    /** What is written in one transaction. */
    interface Deed {
        void in(StoreAccess access) throws StoreException;
    }

    final String back;
    final String front;
    private final StoreModel model;
    private final StoreModel.Client toolstack;

    LifeNodes(StoreModel model, String kind, int devid) {
        this.model = model;
        toolstack = model.connect("toolstack");
        back = "/local/domain/0/backend/" + kind + "/1/" + devid;
        front = "/local/domain/1/device/" + kind + "/" + devid;
    }

    @Override
    public Optional<String> backend(String key) {
        return model.value(back + "/" + key);
    }

    @Override
    public Optional<String> frontend(String key) {
        return model.value(front + "/" + key);
    }

    @Override
    public void writeBackend(String key, String value) {
        if (model.value(back).isPresent()) {
            write(access -> access.write(StorePath.of(back + "/" + key), value));
        }
    }

    @Override
    public void writeFrontend(String key, String value) {
        if (model.value(front).isPresent()) {
            write(access -> access.write(StorePath.of(front + "/" + key), value));
        }
    }

    void removeFromFrontend(StoreAccess access, List<String> keys) throws StoreException {
        for (String key : keys) {
            access.remove(StorePath.of(front + "/" + key));
        }
    }

    /** What libxl writes for a new device. */
    void writeDevice(StoreAccess access, Map<String, String> more) throws StoreException {
        access.write(StorePath.of(front + "/backend"), back);
        access.write(StorePath.of(front + "/backend-id"), "0");
        access.write(StorePath.of(front + "/state"), "1");
        access.write(StorePath.of(back + "/frontend"), front);
        access.write(StorePath.of(back + "/frontend-id"), "1");
        access.write(StorePath.of(back + "/online"), "1");
        for (Map.Entry<String, String> node : more.entrySet()) {
            access.write(StorePath.of(back + "/" + node.getKey()), node.getValue());
        }
        access.write(StorePath.of(back + "/state"), "1");
    }

    void write(Deed deed) {
        try {
            toolstack.transaction(access -> {
                deed.in(access);
                return true;
            });
        } catch (StoreException e) {
            throw new IllegalStateException(e);
        }
    }
}
