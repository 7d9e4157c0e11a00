"""The protocol without input and output: no async, no clock, no socket, no logging."""
