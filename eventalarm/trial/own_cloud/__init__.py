"""A cloud of its own: our services, a broker and a database of this machine, which a trial disrupts."""
