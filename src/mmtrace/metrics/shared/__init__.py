"""The metrics of all processes of a service on this host, dead ones included, as one snapshot."""
