/** Where frames go to and come from, on either end of the crossover cable. */
package xenback.net.link;
