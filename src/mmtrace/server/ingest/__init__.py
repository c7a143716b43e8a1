"""What takes OTLP in: bodies, their forms, and the two transports."""
