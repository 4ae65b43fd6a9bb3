"""The load of a trial: alarms, events, the users who edit alarms, and who publishes what."""
