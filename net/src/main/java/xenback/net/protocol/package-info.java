/** netif as pure functions on memory, for both ends. */
package xenback.net.protocol;
