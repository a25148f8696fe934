"""Helpers of the tests: throw-away servers, free ports, what to do when a component is missing."""
