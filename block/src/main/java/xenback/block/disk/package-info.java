/** The {@link xenback.block.disk.Disk} interface and one class per kind of store. */
package xenback.block.disk;
