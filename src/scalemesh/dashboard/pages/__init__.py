"""One file per area of the dashboard: from a visit, over the services, to a page or to another address."""
