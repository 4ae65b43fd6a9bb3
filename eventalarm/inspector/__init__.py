"""The inspector: from one fault of a host, hypervisor or switch to an event for each owner concerned."""
