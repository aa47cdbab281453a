/** xnb: the network backend. */
package xenback.net.backend;
