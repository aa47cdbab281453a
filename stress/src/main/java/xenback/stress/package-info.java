/** The shared ring under jcstress: each test names the outcomes that the two ends may see, and the one they may not. */
package xenback.stress;
