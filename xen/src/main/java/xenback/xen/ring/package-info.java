/** The shared ring, both ends, on any memory. */
package xenback.xen.ring;
