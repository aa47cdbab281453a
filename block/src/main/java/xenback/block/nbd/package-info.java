/**
 * NBD: disks as exports that any Network Block Device client can use. The protocol is proto.md of the NetworkBlockDevice
 * project; sections are cited by their headings.
 */
package xenback.block.nbd;
