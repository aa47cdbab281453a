/** Frames as bytes: what is in them, their checksums, and how large ones are cut. Pure functions on memory. */
package xenback.net.packet;
