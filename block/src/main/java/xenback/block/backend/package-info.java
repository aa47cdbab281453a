/** xbdback: one session per connection, one queue per ring. */
package xenback.block.backend;
