"""`mmtrace serve`: receives OTLP, keeps it in one file, answers queries and shows pages."""
