"""The opening handshake of RFC 6455, section 4, for both roles, without input and output."""
