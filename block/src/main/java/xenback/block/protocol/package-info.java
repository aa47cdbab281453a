/** blkif as pure functions on memory, for both ends. */
package xenback.block.protocol;
