/** The port to a hypervisor in this process: domains and their memory, grant tables, event channels, an xenstored. */
package xenback.xen.embedded;
