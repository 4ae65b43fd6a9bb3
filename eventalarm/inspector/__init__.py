"""The inspector: turns a fault of a host, hypervisor or switch into an event for each affected owner."""
