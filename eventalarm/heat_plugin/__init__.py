"""The resources that Heat loads from this directory (``[DEFAULT] plugin_dirs`` of ``heat.conf``)."""
