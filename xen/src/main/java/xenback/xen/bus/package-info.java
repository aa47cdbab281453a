/** The split-driver handshake: one backend and one frontend state machine, used by block and net alike. */
package xenback.xen.bus;
