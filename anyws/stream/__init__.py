"""One open connection, async: receiving, sending, keeping alive, closing."""
