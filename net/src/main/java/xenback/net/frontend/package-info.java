/** xn: the guest's Ethernet device, for the embedded Xen and for tests. */
package xenback.net.frontend;
