/** The port to a hypervisor on a Linux domain of a Xen: /dev/xen/{evtchn,gntdev,xenbus}. */
package xenback.xen.host;
