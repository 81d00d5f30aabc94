"""The gate as a service: listeners, signals, readiness."""
