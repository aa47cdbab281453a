/** xbd: the guest's side of the block device, for the embedded Xen and for tests. */
package xenback.block.frontend;
