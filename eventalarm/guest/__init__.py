"""The monitor of guests: what libvirt and the guest agents of a compute node report, as events."""
