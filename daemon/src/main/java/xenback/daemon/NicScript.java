package xenback.daemon;

import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;
import xenback.xen.XenException;

/**
 * A hotplug script of the toolstack, such as vif-bridge or vif-openvswitch, called as libxl calls it (facts of
 * libxl_linux.c): {@code SCRIPT online type_if=vif}, with the interface and the xenbus path in its environment.
 *
 * @param store the socket of xenstored, for the script's xenstore-read
 * @param xenbusPath {@code backend/vif/1/0}, below the backend domain's directory
 * @param vif name of the interface
 * @param gatewayDevice value of {@code gatewaydev}, if there is one
 */
record NicScript(Path script, Path store, String xenbusPath, String vif, Optional<String> gatewayDevice) {
    /** Has the interface configured; throws with the script's last words. */
    void online() throws XenException {
        call("online");
    }

    /** Has that undone. */
    void offline() throws XenException {
        call("offline");
    }

    private void call(String action) throws XenException {
        ProcessBuilder builder = new ProcessBuilder(script.toString(), action, "type_if=vif");
        Map<String, String> environment = builder.environment();
        environment.put("script", script.toString());
        environment.put("XENBUS_TYPE", "vif");
        environment.put("XENBUS_PATH", xenbusPath);
        environment.put("XENBUS_BASE_PATH", "backend");
        environment.put("XENSTORED_PATH", store.toString());
        environment.put("vif", vif);
        gatewayDevice.ifPresent(device -> environment.put("netdev", device));
        IpTool.run(builder);
    }
}
