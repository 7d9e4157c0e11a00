"""A server with one page that shows what a connection can do: ``anyws demo``."""
