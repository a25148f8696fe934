"""The HTTP door: decodes a request, calls a service, encodes what it returns. Rules live in the services."""
