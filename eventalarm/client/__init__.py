"""The ``openstack eventalarm`` and ``openstack ifa`` commands; no service imports them."""
