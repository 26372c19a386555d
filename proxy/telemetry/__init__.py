"""What is told to OpenTelemetry. Imported only where the configuration wants it, and with it the extra `otel`."""
