"""One file a library: where to hook it, and how to read its requests and results."""
