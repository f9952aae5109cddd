"""The routes, one module per noun. Each has a `router` whose endpoints are: request → service → answer."""
