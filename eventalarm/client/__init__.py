"""The ``openstack eventalarm`` commands; nothing of the service imports this."""
