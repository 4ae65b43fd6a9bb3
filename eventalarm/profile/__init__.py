"""Where the time of an alarm goes: stages from checkpoints, and how they are shown."""
