"""The HTTP edge of the IFA API: requests in, answers out, nothing decided about alarms."""
