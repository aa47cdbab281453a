/** XenStore's messages as bytes, spoken by the client and by the embedded daemon. Not exported. */
package xenback.xen.store.wire;
