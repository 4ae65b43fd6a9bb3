"""The HTTP resources of the IFA API: they parse, authorize, call and serialize."""
