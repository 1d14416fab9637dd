"""HTTP front: protocol, middleware, request handlers and documentation pages."""
