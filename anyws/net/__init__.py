"""Where byte streams come from: one interface, the loops' own sockets, and any other stream."""
